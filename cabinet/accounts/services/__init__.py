"""Writes about people and companies."""
