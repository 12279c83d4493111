"""The operators on the sandbox's first page: every SIM as it truly is, and forms to change it."""

from collections.abc import Mapping
from typing import Any

from django.template.loader import render_to_string

from operators.sandbox.base import SandboxOperator
from operators.sandbox.faults import FaultKind
from operators.sandbox.state import CALLS

_STATES = {
    "new": "новая",
    "active": "работает",
    "inactive": "отключена",
    "held": "задержана оператором",
    "retired": "списана",
}
_REASONS = {
    "voluntary": "по просьбе клиента",
    "debt": "задолженность",
    "fraud": "подозрение в мошенничестве",
    "stolen": "кража или утеря",
    "law": "по закону",
    "limit": "лимит",
    "imei": "другой терминал (IMEI)",
    "operator": "решение оператора",
    "unknown": "причина неизвестна",
}
_CALLS = {"auth": "вход", "submit": "переключение", "check": "проверка", "read": "чтение"}
_FAULTS = {
    FaultKind.DROP_BEFORE: "обрыв до выполнения",
    FaultKind.DROP_AFTER: "выполнено, ответ потерян",
    FaultKind.HTTP_500: "ошибка 500",
    FaultKind.HTTP_429: "слишком часто (429)",
    FaultKind.GARBAGE: "мусор вместо ответа",
    FaultKind.HALF_BODY: "половина ответа",
    FaultKind.DRIP: "по байту",
    FaultKind.SLOW: "медленный ответ",
    FaultKind.ACCEPT_AND_FORGET: "принято и забыто",
    FaultKind.WRONG_ID: "ответ о другой смарт-карте",
    FaultKind.MAINTENANCE: "ночные работы",
    FaultKind.NO_ID: "ответ без номера запроса",
    FaultKind.ODD_STATUS: "незнакомое состояние",
    FaultKind.EXPIRED_TOKEN: "ключ доступа истёк",
    FaultKind.ERROR_IN_2XX: "ошибка внутри ответа 200",
    FaultKind.OTHER_SHAPE: "другая запись ответа",
    FaultKind.NOT_BY_ID: "запрос не найти по его номеру",
    FaultKind.LOGIN_REDIRECT: "переход на страницу входа (302)",
    FaultKind.HTML_PAGE: "страница входа вместо ответа",
    FaultKind.CP1251_PAGE: "страница входа в windows-1251",
    FaultKind.EMPTY_BODY: "пустой ответ 200",
    FaultKind.CUT_BODY: "ответ без конца",
    FaultKind.NO_SERVICE: "номер не обслуживается",
}


def panel(operators: Mapping[str, SandboxOperator], faults: list[dict[str, Any]]) -> str:
    """The fragment of HTML."""
    context = {
        "operators": [_operator(operator) for operator in operators.values()],
        "states": _STATES,
        "reasons": _REASONS,
        "calls": _CALLS,
        "faults": [_fault_text(fault) for fault in faults],
        "fault_kinds": {kind.value: text for kind, text in _FAULTS.items()},
    }
    return render_to_string("sandbox/operators.html", context)


def _operator(operator: SandboxOperator) -> dict[str, Any]:
    return {
        "code": operator.code,
        "title": operator.title,
        "rejected": operator.quota.rejected,
        "sims": [_sim(sim) for sim in operator.sims.all_as_json()],
    }


def _sim(sim: dict[str, Any]) -> dict[str, Any]:
    return sim | {
        "state_text": _STATES[sim["state"]],
        "reason_text": _REASONS.get(sim["reason"], ""),
        "calls": [(_CALLS[call], sim["calls"][call]) for call in CALLS],
    }


def _fault_text(fault: Mapping[str, Any]) -> str:
    times = "пока не починят" if fault["times"] is None else f"осталось раз: {fault['times']}"
    where = fault["operator"] or "все операторы"
    call = _CALLS.get(fault["call"], "любое обращение")
    card = f" о смарт-карте {fault['iccid']}" if fault["iccid"] else ""
    return f"{where}, {call}{card}: {_FAULTS[fault['kind']]} ({times})"
