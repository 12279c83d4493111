"""Bases of anticipated refusals."""


class Refused(Exception):
    """An anticipated refusal. `sentence` is Russian, to be shown to the person who asked."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class NotAllowed(Refused):
    """The role does not have this right; views answer 403."""
