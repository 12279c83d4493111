"""What we say at an operator's `/hub`, and what its answers mean to staff. See `docs/reference/partner-api.yaml`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from cabinet.errors import Refused
from operators.ports import OUR_QUOTA, CallKind, ErrorClass, LostReply, NotJson, Reply, Unavailable
from operators.waits import retry_after

_KEYS_REFUSED = "Оператор не принял ключ договора. Исправьте ключ и нажмите «Проверить связь»."
_NO_SUCH_CALL = frozenset({404, 405, 501})
_GONE = frozenset({200, 202, 204, 404, 410})
_LONGEST_NUMBER = 200
_AGAIN = "Нажмите ещё раз: лишняя подписка не помешает, одно событие мы принимаем один раз."


class HubRefused(Refused):
    """The operator did not do what we asked at its `/hub`, or nobody knows whether it did."""


class Call(Protocol):
    """One call below the contract's address, with its key, its quota and its log.

    Raises `Unavailable` if surely nothing was done, of class `AUTH` where the keys were refused, and
    `LostReply`.
    """

    def __call__(self, method: str, path: str, kind: CallKind, **parts: Any) -> Reply: ...


@dataclass(frozen=True)
class Hub:
    """One operator's `/hub`. Every method raises HubRefused."""

    call: Call

    def subscribe(self, callback: str) -> str:
        """From now on the operator sends its events to this address; gives the subscription's number."""
        reply = self._asked("POST", "/hub", json={"callback": callback})
        if reply.status in {200, 201}:
            return _number(reply)
        if reply.status in _NO_SUCH_CALL:
            raise HubRefused(
                f"У оператора нет вызова /hub (ответ {reply.status})."
                f" Попросите его вписать наш адрес у себя: {callback}"
            )
        raise _trouble(reply)

    def unsubscribe(self, number: str) -> bool:
        """The operator sends no more; False where it has no such call, and is to be asked by hand.

        A number that it does not know is as good as gone.
        """
        reply = self._asked("DELETE", f"/hub/{quote(number, safe='')}")
        if reply.status in _GONE:
            return True
        if reply.status in _NO_SUCH_CALL:
            return False
        raise _trouble(reply)

    def _asked(self, method: str, path: str, **parts: Any) -> Reply:
        try:
            return self.call(method, path, CallKind.HUB, **parts)
        except LostReply as lost:
            raise HubRefused(f"{_begun(lost.text)}. Что он сделал, неизвестно. {_AGAIN}") from lost
        except Unavailable as trouble:
            raise HubRefused(_not_asked(trouble)) from trouble


def _number(reply: Reply) -> str:
    given = _object(reply).get("id")
    number = str(given) if isinstance(given, str | int) else ""
    if not 0 < len(number) <= _LONGEST_NUMBER:
        raise HubRefused(
            "Оператор подписал нас, но не назвал номера подписки (id), и снять её отсюда будет нельзя."
            " Покажите это оператору: ответ лежит в журнале обмена."
        )
    return number


def _trouble(reply: Reply) -> HubRefused:
    match reply.status:
        case 403:
            said = "Ключ договора не даёт права на подписку: попросите оператора его дать."
        case 429 | 503:
            said = f"Оператор просит подождать{_pause(reply)}. Потом нажмите ещё раз."
        case status if 400 <= status < 500:
            said = f"Оператор отказал (ответ {status}): {_words(reply)}"
        case status:
            said = f"У оператора сбой (ответ {status}). Что он сделал, неизвестно. {_AGAIN}"
    return HubRefused(said)


def _not_asked(trouble: Unavailable) -> str:
    if trouble.error is ErrorClass.AUTH:
        return _KEYS_REFUSED
    if trouble.code == OUR_QUOTA:
        wait = math.ceil(trouble.retry_after or 1)
        return (
            "Сейчас вызовы не уходят: квота занята или оператор попросил подождать."
            f" Повторите через {wait}\u00a0с."
        )
    return f"Связи нет: {trouble.text or trouble.error} {trouble.code}".strip()


def _pause(reply: Reply) -> str:
    seconds = retry_after(reply, default=None)
    return "" if seconds is None else f" {math.ceil(seconds)}\u00a0с"


def _words(reply: Reply) -> str:
    body = _object(reply)
    return str(body.get("reason") or body.get("message") or "без объяснения")[:200]


def _object(reply: Reply) -> Mapping[str, Any]:
    try:
        body = reply.json()
    except (NotJson, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]
