"""Contracts with operators, the log of calls and operators' events for staff."""

from operators.admin import accounts, callbacks, exchanges

__all__ = ["accounts", "callbacks", "exchanges"]
