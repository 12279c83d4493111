"""The requests that a described operator would get for an invented card. Nothing is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from operators.declared.dry_run import Shown, Unfit, dry_run
from operators.declared.profile import InvalidProfile
from operators.declared.validate import load
from operators.models import OperatorAccount
from operators.ports import Action, Sim

INVENTED = Sim(iccid="89701990000000000017", msisdn="79990000001")
_TITLES = {Action.ACTIVATE: "Включение", Action.DEACTIVATE: "Отключение"}


@dataclass(frozen=True)
class Draft:
    """One switch: its requests in order, or why there are none."""

    title: str
    requests: tuple[Shown, ...] = ()
    problem: str = ""


def drafts(
    account: OperatorAccount, credentials: Mapping[str, str], *, at: datetime
) -> list[Draft]:
    """Both switches by the contract's profile; secrets of `credentials` are masked."""
    return [_draft(account, credentials, action, at) for action in Action]


def _draft(
    account: OperatorAccount, credentials: Mapping[str, str], action: Action, at: datetime
) -> Draft:
    title = _TITLES[action]
    try:
        profile = load(account.profile)
        made = dry_run(profile, action, INVENTED, credentials, at=at, base_url=account.base_url)
    except InvalidProfile:
        return Draft(title, problem="В описании протокола есть ошибки: исправьте их в договоре.")
    except Unfit as unfit:
        return Draft(title, problem=f"Запрос не составить: {unfit}.")
    return Draft(title, made)
