"""What is known of one call to an operator after it: for logs and measures."""

from dataclasses import dataclass, field
from datetime import datetime

from operators.ports import CallKind, ErrorClass


@dataclass(frozen=True)
class About:
    """What a question is about, in our words: the card and, where there is one, the command."""

    iccid: str = ""
    command_id: int | None = None


NOTHING_OF_OURS = About()


@dataclass(frozen=True)
class Exchange:
    """One call, for logs and measures: secrets and personal data masked, long digits cut to the last four.

    `status` is None and `error` says why where no whole answer came; `date_skew` as in `Reply`. `at`
    is when the call began, by the product's clock. `request` and `reply` are at most 4 kB each. `told`
    is what the adapter made of the whole question whose last call it was; None where that is no refusal.
    """

    account: str
    kind: CallKind
    method: str
    url: str
    status: int | None
    seconds: float
    error: str = ""
    date_skew: float | None = None
    code: str = ""
    about: About = NOTHING_OF_OURS
    at: datetime | None = None
    request: str = field(default="", repr=False)
    reply: str = field(default="", repr=False)
    told: ErrorClass | None = None

    @property
    def result(self) -> str:
        """What the transport says of it, in a word: ok, http_4xx, lost_reply, not_sent_dns…"""
        if self.status is None:
            return f"not_sent_{self.code}" if self.code else "lost_reply"
        return "ok" if 200 <= self.status < 300 else f"http_{self.status // 100}xx"
