"""People, their roles and rights, companies, and who may see what."""
