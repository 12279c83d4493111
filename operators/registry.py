"""Which adapters there are, and the only place that imports them.

`settings.OPERATORS` maps a protocol's code to the dotted path of its class; a class is imported
when it is first asked for. Adding an operator is one module in `operators/adapters/`, one line in
the settings, and its row of cases in `operators/tests/contract.py`.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from operators.ports import Capabilities, Operator

# The description of a protocol as it is stored: a JSON object.
Profile = Mapping[str, Any]
_METHODS = ("submit", "check", "check_by_sim", "read_state", "list_changes", "ping")
# Methods that an adapter may leave out where it does not promise them, and the capability that does.
_OPTIONAL = {"read_identity": "identity"}


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

    Of a class with `capabilities_of` the account's `profile` says it, where one is given.
    """
    found = adapter_class(code)
    if not profile or not hasattr(found, "capabilities_of"):
        return found.capabilities
    described: Capabilities = found.capabilities_of(profile)
    return described


def is_declarative(code: str) -> bool:
    """Whether an account of this protocol needs a profile. Raises as `adapter_class`."""
    return hasattr(adapter_class(code), "capabilities_of")


def problem(code: str) -> str:
    """Why the class behind a code is no adapter; "" if it is one."""
    try:
        found = adapter_class(code)
    except (ImportError, NoSuchAdapter) as trouble:
        return str(trouble)
    if not isinstance(getattr(found, "capabilities", None), Capabilities):
        return f"{found.__name__} names no capabilities"
    promised = [
        name
        for name, promise in _OPTIONAL.items()
        if getattr(found.capabilities, promise) or hasattr(found, name)
    ]
    wrong = [name for name in (*_METHODS, *promised) if not _fits(found, name)]
    return f"{found.__name__} lacks or changes: {', '.join(wrong)}" if wrong else ""


def _fits(found: type[Operator], name: str) -> bool:
    """Whether a method takes exactly the arguments that the port names."""
    method = getattr(found, name, None)
    if not callable(method):
        return False
    wanted = inspect.signature(getattr(Operator, name)).parameters
    return list(inspect.signature(method).parameters) == list(wanted)
