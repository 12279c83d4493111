"""Which adapters there are, and the only place that imports them.

`settings.OPERATORS` maps a protocol's code to the dotted path of its class; a class is imported
when it is first asked for. Adding an operator is one module in `operators/adapters/`, one line in
the settings, and its row of cases in `operators/tests/contract.py`.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache, partial, wraps
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from operators.http import NOTHING_OF_OURS, About, Door, Exchange, always_open, spending, unmeasured
from operators.masking import masker
from operators.ports import (
    CallKind,
    Capabilities,
    Connection,
    NoHub,
    NoIdentity,
    Operator,
    TokenStore,
)
from operators.shown import shown_by
from operators.told import heard_out, once_told

# The description of a protocol as it is stored: a JSON object.
Profile = Mapping[str, Any]
_METHODS = ("submit", "check", "check_by_sim", "read_state", "list_changes", "ping")
# An adapter may leave these out where its capabilities do not promise them: what promises each, and what
# stands in its place.
_OPTIONAL: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "read_identity": ("identity", NoIdentity.read_identity),
    "call": ("hub", NoHub.call),
}


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


def capabilities(code: str, profile: Profile | None = None) -> Capabilities:
    """What the protocol can do and which credentials it wants. Raises as `adapter_class`.

    Of a class with `capabilities_of` the account's `profile` says it, where one is given; raises
    what that raises (`operators.declared.profile.InvalidProfile`).
    """
    return _capabilities(adapter_class(code), profile)


def is_declarative(code: str) -> bool:
    """Whether an account of this protocol needs a profile. Raises as `adapter_class`."""
    return hasattr(adapter_class(code), "capabilities_of")


def _capabilities(found: type[Operator], profile: Profile | None) -> Capabilities:
    if not profile or not hasattr(found, "capabilities_of"):
        return found.capabilities
    described: Capabilities = found.capabilities_of(profile)
    return described


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
    profile: Profile | None = None,
    about: About = NOTHING_OF_OURS,
) -> Operator:
    """An adapter bound to one account. Nothing is sent.

    `account` is the account's code, `adapter` the protocol's. Each method of the result ends within
    `timeout_seconds`, however many HTTP calls it takes, plus what `tokens` lets it wait for a lock.
    `admit` is asked before each HTTP call (see `http.Door`), `on_exchange` told of it with everything
    masked once the question is answered (see `told`), and `about` stands on what it is told. `profile`
    is for a declarative protocol, and `capabilities` of the result are then the profile's.
    """
    found = adapter_class(adapter)
    door = Door(
        account=account,
        ca_bundle=ca_bundle,
        total_seconds=timeout_seconds,
        connections=concurrency,
        on_exchange=once_told(on_exchange),
        admit=admit,
        about=about,
        masker=masker(credentials.values(), shown_by(adapter, found, profile)),
    )
    connection = Connection(
        account=account,
        base_url=base_url,
        credentials=credentials,
        http=door,
        tokens=tokens,
        profile=profile,
    )
    return _bounded(found, timeout_seconds, _capabilities(found, profile))(connection)


@lru_cache(maxsize=64)
def _bounded(found: type[Operator], seconds: float, described: Capabilities) -> type[Operator]:
    """The same class with these capabilities, each of whose answers is given within `seconds`."""

    def within(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            with spending(seconds):
                return heard_out(partial(method, *args, **kwargs))

        return bounded

    members: dict[str, Any] = {name: within(getattr(found, name)) for name in _METHODS}
    optional = {name: getattr(found, name, usual) for name, (_, usual) in _OPTIONAL.items()}
    members |= {name: within(method) for name, method in optional.items()}
    return type(found.__name__, (found,), members | {"capabilities": described})


def problem(code: str) -> str:
    """Why the class behind a code is no adapter; "" if it is one."""
    try:
        found = adapter_class(code)
    except (ImportError, NoSuchAdapter) as trouble:
        return str(trouble)
    if not isinstance(getattr(found, "capabilities", None), Capabilities):
        return f"{found.__name__} names no capabilities"
    promised = [name for name in _OPTIONAL if _promises(found, name)]
    wrong = [name for name in (*_METHODS, *promised) if not _fits(found, name)]
    return f"{found.__name__} lacks or changes: {', '.join(wrong)}" if wrong else ""


def _promises(found: type[Operator], name: str) -> bool:
    promise, _ = _OPTIONAL[name]
    return getattr(found.capabilities, promise) or hasattr(found, name)


def _fits(found: type[Operator], name: str) -> bool:
    """Whether a method takes exactly the arguments that the port names."""
    method = getattr(found, name, None)
    if not callable(method):
        return False
    wanted = inspect.signature(getattr(Operator, name)).parameters
    return list(inspect.signature(method).parameters) == list(wanted)
