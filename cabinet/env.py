"""Typed reading of the environment: a wrong value stops the start with one clear sentence."""

import os
from collections.abc import Collection, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from django.core.exceptions import ImproperlyConfigured

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def env_str(name: str, default: str = "") -> str:
    """The variable without surrounding spaces, or the default where it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def env_bool(name: str, *, default: bool = False) -> bool:
    """1/0, true/false, yes/no, on/off. Raises ImproperlyConfigured for anything else."""
    raw = os.environ.get(name)
    if raw is None:
        return default
    value = raw.strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {raw!r}.")


def env_int(name: str, default: int) -> int:
    """A whole number. Raises ImproperlyConfigured for anything else."""
    raw = env_str(name)
    if not raw:
        return default
    try:
        return int(raw)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {raw!r}.") from error


def env_list(name: str, default: Sequence[str] = ()) -> list[str]:
    """Values separated by commas; empty ones are dropped."""
    raw = env_str(name)
    if not raw:
        return list(default)
    return [part.strip() for part in raw.split(",") if part.strip()]


def env_networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Networks, or single addresses, separated by commas. Raises ImproperlyConfigured for anything else."""
    try:
        return [ip_network(part) for part in env_list(name)]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name} must list networks like 10.8.0.0/16, separated by commas: {error}."
        ) from error


def env_choices(name: str, default: Sequence[str], allowed: Collection[str]) -> list[str]:
    """As `env_list`. Raises ImproperlyConfigured for a value that is not among `allowed`."""
    chosen = env_list(name, default)
    if not set(chosen) <= set(allowed):
        raise ImproperlyConfigured(f"{name} must be of {', '.join(allowed)}, not {chosen!r}.")
    return chosen


class Required:
    """Collects what production must have, so that one start names everything that is missing."""

    def __init__(self, *, enforced: bool) -> None:
        self._enforced = enforced
        self._missing: list[str] = []

    def secret(self, name: str, fallback: str) -> str:
        """The variable; the fallback only where nothing is enforced (the sandbox)."""
        value = env_str(name)
        if not value and self._enforced:
            self._missing.append(name)
        return value or fallback

    def check(self) -> None:
        """Raises ImproperlyConfigured naming every missing variable at once."""
        if self._missing:
            raise ImproperlyConfigured(
                "Set these variables to start: " + ", ".join(self._missing) + "."
            )
