"""The operators on the sandbox's first page: every SIM as it truly is, and forms to change it."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from operators.sandbox.protocol import PlayedOperator
from operators.sandbox.trouble import FaultKind
from operators.sandbox.world import CALLS

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
}


def panel(operators: Mapping[str, PlayedOperator], faults: list[dict[str, Any]]) -> str:
    """The fragment of HTML."""
    tables = "\n".join(_operator(operator) for operator in operators.values())
    return (
        f"<h2>Операторы связи</h2>\n{tables}\n"
        f"<h3>Добавить или изменить смарт-карту</h3>\n{_put_form(operators)}\n"
        f"<h3>Неисправности</h3>\n{_faults(faults)}\n{_fault_form(operators)}"
    )


def _operator(operator: PlayedOperator) -> str:
    sims = operator.world.all_shown()
    rejected = operator.turnstile.rejected
    head = (
        f"<h3>{escape(operator.title)}</h3>\n"
        f'<p class="note">Смарт-карт: {len(sims)}. Отказов из-за частоты: {rejected}.</p>\n'
    )
    if not sims:
        return head + "<p>Смарт-карт пока нет.</p>"
    names = ("ICCID", "Номер", "Состояние", "Переключений", "Обращений", "Изменить снаружи")
    heads = "".join(f"<th>{name}</th>" for name in names)
    rows = "\n".join(_row(operator.code, sim) for sim in sims)
    return f"{head}<table>\n<tr>{heads}</tr>\n{rows}\n</table>"


def _row(code: str, sim: Mapping[str, Any]) -> str:
    calls = ", ".join(f"{_CALLS[call]}&nbsp;{sim['calls'][call]}" for call in CALLS)
    cells = (
        escape(sim["iccid"]),
        escape(sim["msisdn"]),
        _state(sim),
        str(len(sim["effects"])),
        calls,
        _state_form(code, sim),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _state(sim: Mapping[str, Any]) -> str:
    state = sim["state"]
    why = f"<br>{_REASONS[sim['reason']]}" if sim["reason"] else ""
    return f'<span class="state state-{state}">{_STATES[state]}</span>{why}'


def _state_form(code: str, sim: Mapping[str, Any]) -> str:
    iccid = escape(sim["iccid"])
    return (
        '<form method="post" action="/panel/state">'
        f'<input type="hidden" name="operator" value="{code}">'
        f'<input type="hidden" name="iccid" value="{iccid}">'
        f"{_select('state', _STATES, sim['state'])}"
        f"{_select('reason', {'': 'без причины', **_REASONS}, sim['reason'] or '')}"
        f'<button type="submit">Задать</button></form>'
    )


def _put_form(operators: Mapping[str, PlayedOperator]) -> str:
    return (
        '<form method="post" action="/panel/state">'
        f"<label>Оператор {_select('operator', _titles(operators), '')}</label>"
        '<label>ICCID <input name="iccid" required pattern="[0-9]{17,20}"></label>'
        '<label>Номер <input name="msisdn" pattern="7[0-9]{10}"></label>'
        f"<label>Состояние {_select('state', _STATES, 'active')}</label>"
        '<button type="submit">Сохранить</button></form>'
    )


def _faults(faults: list[dict[str, Any]]) -> str:
    if not faults:
        return "<p>Всё исправно.</p>"
    items = "\n".join(f"<li>{_fault(fault)}</li>" for fault in faults)
    return (
        f"<ul>\n{items}\n</ul>\n"
        '<form method="post" action="/panel/faults/clear">'
        '<button type="submit">Починить всё</button></form>'
    )


def _fault(fault: Mapping[str, Any]) -> str:
    times = "пока не починят" if fault["times"] is None else f"осталось раз: {fault['times']}"
    where = escape(fault["operator"]) or "все операторы"
    call = _CALLS.get(fault["call"], "любое обращение")
    return f"{where}, {call}: {_FAULTS[fault['kind']]} ({times})"


def _fault_form(operators: Mapping[str, PlayedOperator]) -> str:
    every = {"": "все", **_titles(operators)}
    return (
        '<form method="post" action="/panel/faults">'
        f"<label>Оператор {_select('operator', every, '')}</label>"
        f"<label>Обращение {_select('call', {'': 'любое', **_CALLS}, 'submit')}</label>"
        f"<label>Что случится {_select('kind', _FAULTS, '')}</label>"
        '<label>Сколько раз <input name="times" type="number" min="1" value="1"></label>'
        '<label>Секунд <input name="seconds" type="number" min="0" step="any"></label>'
        '<label>Retry-After <input name="retry_after" type="number" min="0"></label>'
        '<button type="submit" class="danger">Сломать</button></form>'
    )


def _titles(operators: Mapping[str, PlayedOperator]) -> dict[str, str]:
    return {code: operator.title for code, operator in operators.items()}


def _select(name: str, titles: Mapping[Any, str], chosen: str) -> str:
    options = "".join(_options(titles.items(), chosen))
    return f'<select name="{name}">{options}</select>'


def _options(titles: Iterable[tuple[Any, str]], chosen: str) -> Iterable[str]:
    for value, title in titles:
        mark = " selected" if value == chosen else ""
        yield f'<option value="{value}"{mark}>{escape(title)}</option>'
