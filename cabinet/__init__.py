"""The project package and the floor of the house."""
