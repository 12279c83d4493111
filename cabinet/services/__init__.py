"""Writes of the floor, one module for one matter: codes, people, team, company, documents, staff, groups."""
