"""A server that simulates the operators, the market and the clock; its parts are named in settings."""
