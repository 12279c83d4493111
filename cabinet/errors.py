"""The root of every anticipated «no»."""


class Refused(Exception):
    """Something may not be done now. `sentence` is Russian and fit for the person who asked."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class NotAllowed(Refused):
    """The role does not carry this right; the views answer 403."""
