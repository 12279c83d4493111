"""What a described operator can do, in the words of the port; and what to propose for its account."""

from typing import Any

from operators.declared.profile import SWITCHES, CallName, Profile, Proof
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


def account_defaults(profile: Profile) -> dict[str, Any]:
    """What a profile proposes for an account beyond its capabilities: address and nightly works."""
    return {
        "base_url": profile.base_url,
        "maintenance_windows": [window.as_json() for window in profile.windows],
    }
