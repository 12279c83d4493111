"""The HTTP client for operators: one deadline for a whole call, and a log row for each exchange."""
