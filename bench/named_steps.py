"""The words between a fault's play and the worker that is to die of it."""

WORD = "die-at"
EATS, DIES = "bench-eats-memory", "bench-ends-its-process"
# In the order in which a renewal passes them.
STEPS = (
    "before the event is read",
    "amid the event's transaction",
    "event kept, nobody woken",
    "before the cards are compared",
    "amid the command's transaction",
    "command kept, nobody woken",
)
