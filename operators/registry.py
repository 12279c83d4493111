"""Which adapters there are, and the only place that imports them.

`settings.OPERATORS` maps a protocol's code to the dotted path of its class; a class is imported
when it is first asked for. Adding an operator is one module in `operators/adapters/`, one line in
the settings, and its row of cases in `operators/tests/contract.py`.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from operators.http import Door, Exchange, always_open, spending, unmeasured
from operators.ports import CallKind, Capabilities, Connection, Operator, TokenStore

_METHODS = ("submit", "check", "check_by_sim", "read_state", "ping")


class NoSuchAdapter(LookupError):
    """No protocol of this code is enabled in the settings."""


def codes() -> list[str]:
    """The codes of all protocols, in the order of the settings."""
    return list(settings.OPERATORS)


def adapter_class(code: str) -> type[Operator]:
    """The class behind a code. Raises `NoSuchAdapter`, and ImportError for a wrong path."""
    try:
        path = settings.OPERATORS[code]
    except KeyError as missing:
        raise NoSuchAdapter(code) from missing
    found: type[Operator] = import_string(path)
    return found


def capabilities(code: str) -> Capabilities:
    """What the protocol can do and which credentials it wants. Raises as `adapter_class`."""
    return adapter_class(code).capabilities


def make(
    *,
    account: str,
    adapter: str,
    base_url: str,
    credentials: Mapping[str, str],
    tokens: TokenStore,
    on_exchange: Callable[[Exchange], None] = unmeasured,
    admit: Callable[[CallKind], None] = always_open,
    ca_bundle: str = "",
    timeout_seconds: float = 20,
    concurrency: int = 4,
) -> Operator:
    """An adapter bound to one account. Nothing is sent.

    `account` is the account's code, `adapter` the protocol's. Each method of the result ends within
    `timeout_seconds`, however many HTTP calls it takes, plus what `tokens` lets it wait for a lock.
    `admit` is asked before each HTTP call (see `http.Door`), `on_exchange` told after it.
    """
    door = Door(
        account=account,
        ca_bundle=ca_bundle,
        total_seconds=timeout_seconds,
        connections=concurrency,
        on_exchange=on_exchange,
        admit=admit,
    )
    connection = Connection(
        account=account, base_url=base_url, credentials=credentials, http=door, tokens=tokens
    )
    return _bounded(adapter_class(adapter), timeout_seconds)(connection)


def _bounded(found: type[Operator], seconds: float) -> type[Operator]:
    """The same class, each of whose answers is given within `seconds` in all."""

    def within(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            with spending(seconds):
                return method(*args, **kwargs)

        return bounded

    methods = {name: within(getattr(found, name)) for name in _METHODS}
    return type(found.__name__, (found,), methods)


def problem(code: str) -> str:
    """Why the class behind a code is no adapter; "" if it is one."""
    try:
        found = adapter_class(code)
    except (ImportError, NoSuchAdapter) as trouble:
        return str(trouble)
    if not isinstance(getattr(found, "capabilities", None), Capabilities):
        return f"{found.__name__} names no capabilities"
    wrong = [name for name in _METHODS if not _fits(found, name)]
    return f"{found.__name__} lacks or changes: {', '.join(wrong)}" if wrong else ""


def _fits(found: type[Operator], name: str) -> bool:
    """Whether a method takes exactly the arguments that the port names."""
    method = getattr(found, name, None)
    if not callable(method):
        return False
    wanted = inspect.signature(getattr(Operator, name)).parameters
    return list(inspect.signature(method).parameters) == list(wanted)
