"""Contracts with mobile operators: what an adapter is, the adapters, and our side of the wire."""
