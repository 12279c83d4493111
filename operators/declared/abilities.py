"""What a described operator can do, in the words of the port; and what to propose for its account."""

from collections.abc import Mapping
from typing import Any

from operators.declared.profile import SWITCHES, CallName, Profile, Proof
from operators.declared.validate import load
from operators.ports import Capabilities, StateQuality

_LATER = {Proof.REQUEST, Proof.READ, Proof.RESULT}


def capabilities_of(profile: Profile) -> Capabilities:
    """The same facts that an adapter in code states of itself."""
    proofs = {proof for name in SWITCHES.values() for proof in profile.calls[name].success.values()}
    reads = CallName.READ in profile.calls
    return Capabilities(
        title=profile.title,
        key=profile.key,
        asynchronous=bool(proofs & _LATER),
        state_quality=profile.states.quality if reads else StateQuality.NONE,
        credentials=profile.credentials,
        per_second=profile.per_second,
        per_minute=profile.per_minute,
        concurrency=profile.concurrency,
        poll_plan=profile.poll_plan,
        quiet_seconds=profile.quiet_seconds,
        deadline_seconds=profile.deadline_seconds,
        list_changes=CallName.LIST_CHANGES in profile.calls,
    )


def account_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a document proposes for an account, by the names of the account's fields; only what it says
    itself. Raises `profile.InvalidProfile`.
    """
    profile, limits, times = load(document), document.get("limits"), document.get("times")
    all_of_it = {
        "base_url": (document, "base_url", profile.base_url),
        "per_second": (limits, "per_second", profile.per_second),
        "per_minute": (limits, "per_minute", profile.per_minute),
        "concurrency": (limits, "concurrency", profile.concurrency),
        "poll_plan": (times, "poll_plan", [_plain(pause) for pause in profile.poll_plan]),
        "quiet_seconds": (times, "quiet_seconds", round(profile.quiet_seconds)),
        "deadline_seconds": (times, "deadline_seconds", round(profile.deadline_seconds)),
        "maintenance_windows": (
            document, "windows", [window.as_json() for window in profile.windows],
        ),
    }  # fmt: skip
    return {
        field: value
        for field, (part, name, value) in all_of_it.items()
        if isinstance(part, Mapping) and part.get(name)
    }


def _plain(pause: float) -> float:
    """Whole pauses are kept as people type them."""
    return int(pause) if pause == int(pause) else pause
