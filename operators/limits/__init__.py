"""What bounds the calls of an operator account: quota, circuit breaker, maintenance windows, one worker at a time."""
