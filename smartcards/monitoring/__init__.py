"""How operators are doing: the dashboard for staff, switch times, health checks."""
