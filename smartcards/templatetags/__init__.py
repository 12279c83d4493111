"""Tags that templates of the cards load."""
