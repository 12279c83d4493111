"""Messages: SMS and e-mail to people, alerts to staff."""
