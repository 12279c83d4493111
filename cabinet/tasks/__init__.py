"""Work outside requests: task queue, scheduler, broker transport, retries, locks."""
