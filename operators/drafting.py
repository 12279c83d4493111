"""The requests that a described operator would get for an invented card. Nothing is sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from operators.declared.dry_run import Shown, Unfit, dry_questions, dry_run
from operators.declared.profile import InvalidProfile, Profile
from operators.declared.validate import load
from operators.models import OperatorAccount
from operators.ports import Action, Sim

INVENTED = Sim(iccid="89701990000000000017", msisdn="79990000001")
_TITLES = {Action.ACTIVATE: "Включение", Action.DEACTIVATE: "Отключение"}


@dataclass(frozen=True)
class Draft:
    """One switch, or the questions: requests in order, or why there are none."""

    title: str
    requests: tuple[Shown, ...] = ()
    problem: str = ""


def drafts(
    account: OperatorAccount, credentials: Mapping[str, str], *, at: datetime
) -> list[Draft]:
    """Both switches and the questions by the contract's profile; secrets of `credentials` are masked."""

    def switch(action: Action, profile: Profile) -> tuple[Shown, ...]:
        return dry_run(profile, action, INVENTED, credentials, at=at, base_url=account.base_url)

    def ask(profile: Profile) -> tuple[Shown, ...]:
        return dry_questions(profile, INVENTED, credentials, at=at, base_url=account.base_url)

    switches = [
        _draft(account, title, partial(switch, action)) for action, title in _TITLES.items()
    ]
    questions = _draft(account, "Вопросы", ask)
    return [*switches, questions] if questions.requests or questions.problem else switches


def _draft(
    account: OperatorAccount, title: str, made: Callable[[Profile], tuple[Shown, ...]]
) -> Draft:
    try:
        return Draft(title, made(load(account.profile)))
    except InvalidProfile:
        return Draft(title, problem="В описании протокола есть ошибки: исправьте их в договоре.")
    except Unfit as unfit:
        return Draft(title, problem=f"Запрос не составить: {unfit}.")
