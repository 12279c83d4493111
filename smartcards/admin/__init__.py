"""What staff see and do with cards. Importing this package registers everything."""

from smartcards.admin import brake, cards, commands, coverage, dashboard, discrepancies, mass, stock

__all__ = ["brake", "cards", "commands", "coverage", "dashboard", "discrepancies", "mass", "stock"]
