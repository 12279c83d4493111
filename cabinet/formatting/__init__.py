"""Russian texts for dates, money, numbers, telephone numbers and audit codes."""
