"""Cards come into stock from a CSV file."""
