"""Pages about money and modules."""
