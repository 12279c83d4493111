"""What staff see and do with cards. Importing this package registers everything."""

from smartcards.admin import board, brake, cards, commands, coverage, drift

__all__ = ["board", "brake", "cards", "commands", "coverage", "drift"]
