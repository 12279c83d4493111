"""What a described operator can do, in the types of the port; and what to propose for its account."""

from collections.abc import Mapping
from typing import Any

from operators.declarative.consistency import names_a_card
from operators.declarative.schema import Description
from operators.declarative.validation import InvalidProfile, load
from operators.ports import Action, Capabilities, StateQuality


def capabilities_of(description: Description) -> Capabilities:
    """The same facts that an adapter in code states of itself."""
    return Capabilities(
        title=description.title,
        key=description.key,
        asynchronous=not _answers_at_once(description),
        state_quality=StateQuality.EXACT,
        credentials=description.credentials,
        list_changes=description.calls.list_changes is not None,
        **description.limits.model_dump(),
        **description.times.model_dump(),
    )


def _answers_at_once(description: Description) -> bool:
    """Whether an answer to a switch shows its end, so that none is under way after it."""
    answers = [description.calls.switch(action).answer for action in Action]
    shows = all(one.state and names_a_card(description, one) for one in answers)
    is_pending = any(state.is_pending for state in description.states.words.values())
    return shows and not is_pending and description.calls.check is None


def called_addresses(base_url: str, document: Mapping[str, Any] | None) -> list[str]:
    """Every address that gets an account's keys: its own, and those of logins that stand elsewhere.

    Of a document that cannot be used the login is never called.
    """
    try:
        steps = load(document).login_steps if document else ()
    except InvalidProfile:
        steps = ()
    elsewhere = (step.path.source for step in steps if step.path.source.startswith("https://"))
    return [base_url, *elsewhere]


def account_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a document proposes for an account, by the names of the account's fields; only what it says
    itself. Raises `validation.InvalidProfile`.
    """
    description = load(document)
    proposed = {"base_url": description.base_url}
    for part in (description.limits, description.times):
        proposed |= part.model_dump(exclude_unset=True)
    return {name: _stored(name, value) for name, value in proposed.items() if value}


def _stored(name: str, value: Any) -> Any:
    """The account keeps whole seconds, and whole pauses of the plan as people type them."""
    if name == "poll_plan":
        return [int(pause) if pause == int(pause) else pause for pause in value]
    return round(value) if isinstance(value, float) else value
