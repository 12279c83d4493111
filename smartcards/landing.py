"""What comes back from the threads that call operators, and what it says of the operator's health."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from operators import quota, waits
from operators.models import OperatorAccount
from operators.ports import ErrorClass, Rejected, SubmitResult, Unavailable, Unknown
from smartcards.questions import Answer

BROKEN = "ошибка в нашем коде"

Result = SubmitResult | Answer


@dataclass(frozen=True)
class Landed:
    """What came back from a thread, how long it took, and how much of that was our own work."""

    result: Result
    seconds: float
    own_seconds: float


def measured(call: Callable[[], Result]) -> Landed:
    """The call's answer with its times, to be made in the thread that calls."""
    started, worked = time.monotonic(), time.thread_time()
    result = call()
    return Landed(result, time.monotonic() - started, time.thread_time() - worked)


def sent_by(result: Result) -> SubmitResult:
    """The answer to a letter; a broken adapter may have done it or not."""
    return Unknown(BROKEN) if isinstance(result, Answer) else result


def told_by(result: Result) -> Answer:
    """The answer to a question; a broken adapter has given none."""
    if isinstance(result, Answer):
        return result
    return Answer(unavailable=Unavailable(ErrorClass.TRANSIENT, "broken", BROKEN))


def is_the_operators_word(result: Result) -> bool:
    """Whether the operator said it, and not we ourselves."""
    word = _word(result)
    return getattr(word, "code", "") not in waits.OUR_OWN


def error_of(result: Result) -> ErrorClass | None:
    """What an answer says of the operator's health; our own waiting for a turn says nothing."""
    word = _word(result)
    if not isinstance(word, Rejected | Unknown | Unavailable) or word.code in waits.OUR_OWN:
        return None
    return ErrorClass(word.error)


def asked_pause(result: Result) -> float:
    """Seconds that the operator asked everybody to wait; 0 where it did not. See `operators.waits`."""
    word = _word(result)
    return 0.0 if word is None else waits.asked_pause(word)


def obey(account: OperatorAccount, results: Iterable[Result]) -> None:
    """Nobody calls the operator for as long as any of these answers asks."""
    words = [_word(result) for result in results]
    quota.obey(account, [word for word in words if word is not None])


def _word(result: Result) -> SubmitResult | Unavailable | None:
    """What the operator said; None for a question that it answered."""
    return result.unavailable if isinstance(result, Answer) else result
