"""The project package and the base that all apps share."""
