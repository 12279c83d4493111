"""Signed events that operators send: verification of the sender, storage, meaning."""
