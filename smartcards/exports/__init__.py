"""What merchants download: rows of tables, without the form of a file."""
