"""How many calls at once serve an operator best: learned from the calls themselves.

A call is mostly waiting for the operator, and the rest is our own work, of which one interpreter does
one piece at a time. Threads beyond those that keep it busy make no call quicker: they only stand in
each other's way, and in the way of a person's click.
"""

from dataclasses import dataclass

# Letters begun beyond those in the air, so that the threads never wait for the database: at most so
# many for each thread, and no more than can leave in so many seconds at the operator's present pace.
AHEAD = 6
AHEAD_SECONDS = 0.5
# The quickest call is forgotten by so much with every call, so that a slower operator is noticed.
_FORGET = 1.003
_SMOOTH = 0.2


@dataclass
class Pace:
    """What the calls of one line took: all of it, and our own work in it, in seconds."""

    call_seconds: float = AHEAD_SECONDS
    own_seconds: float = 0.0
    quickest: float = 0.0

    def note(self, *, seconds: float, own_seconds: float) -> None:
        """One call more. `own_seconds` is the processor's time of its thread."""
        self.call_seconds += _SMOOTH * (max(0.001, seconds) - self.call_seconds)
        first = not self.quickest
        self.own_seconds += (1 if first else _SMOOTH) * (own_seconds - self.own_seconds)
        self.quickest = seconds if first else min(seconds, self.quickest * _FORGET)

    def width(self, threads: int) -> int:
        """How many of the threads are worth running; all of them while nothing is known.

        One works, so many wait for the operator meanwhile, and one is ready to take over.
        """
        if not self.own_seconds:
            return threads
        return min(threads, 2 + round(self.quickest / self.own_seconds))

    def ahead(self, threads: int) -> int:
        """How many letters to begin beyond those that the threads are busy with."""
        return round(threads * min(AHEAD, AHEAD_SECONDS / self.call_seconds))
