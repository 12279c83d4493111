"""The whole product in real processes, used by people with a real browser."""
