"""The server on which the operators, the market and the clock are played; parts are named in
settings.
"""
