"""From a queued command to its outcome.

`worker` takes due commands of one account (`outbox`) and questions (`polling`), calls the operator from a
pool of threads, and records what comes back (`outcomes`, `state_sync`).
"""
