"""What does not fit together in a document whose every part can be read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from operators.declarative.calls import CardAnswer, Check, Find, ListChanges, Request, Switch
from operators.declarative.login import TokenCall
from operators.declarative.schema import Description, Result
from operators.declarative.templates import PUT_BACK, Template
from operators.declarative.variables import ALL_VARIABLES, CARD, TIMES, VARIABLES
from operators.ports import Action, SimState

_OTHERS_CARD = "иначе можно переключить чужую смарт-карту"


@dataclass(frozen=True)
class Problem:
    """One mistake. `field` is where it stands, «calls.read.path»."""

    field: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.field}: {self.sentence}" if self.field else self.sentence


def problems(description: Description) -> Iterator[Problem]:
    """Every contradiction, with its field."""
    yield from _account_fields(description)
    yield from _login(description)
    for field, call in description.calls.requests:
        yield from _request(description, field, call)
    for action in Action:
        yield from _switch(description, action)
    yield from _read(description)
    yield from _states(description)
    yield from _check(description)
    if description.calls.list_changes is not None:
        yield from _list_changes(description.calls.list_changes)


# --- fields and login -------------------------------------------------------------------------------


def _account_fields(description: Description) -> Iterator[Problem]:
    names = [field.name for field in description.login.account_fields]
    for at, field in enumerate(description.fields):
        if field.name in ALL_VARIABLES:
            sentence = "так уже называется поле смарт-карты или запроса"
            yield Problem(f"fields[{at}].name", sentence)
        if field.name in names:
            yield Problem("fields", f"поле «{field.name}» названо дважды")
        names.append(field.name)


def _login(description: Description) -> Iterator[Problem]:
    """Each step knows the account's fields and what a step before took."""
    login = description.login
    known = {field.name for field in description.credentials}
    taken: set[str] = set()
    own_steps = isinstance(login, TokenCall)
    for at, step in enumerate(description.login_steps):
        field = f"login.steps[{at}]" if own_steps else "login"
        yield from _body(field, step)
        yield from _unknown_names(description, field, step, known | taken | TIMES)
        yield from _unknown_fields(f"{field}.basic", step.basic or (), known)
        taken |= set(step.take)
    if login.kind == "keys" and not login.keys:
        yield Problem("login.keys", "нужно хотя бы 1")
    if own_steps and not taken & {key.field for key in login.keys}:
        yield Problem("login.keys", "нужно сказать, куда идёт то, что выдал вход (take)")
    for at, key in enumerate(login.keys):
        yield from _unknown_fields(f"login.keys[{at}].field", [key.field], known | taken)


def _unknown_fields(field: str, names: Iterable[str], known: set[str]) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            here = ", ".join(sorted(known)) or "никаких; назовите его в fields"
            yield Problem(field, f"такого ключа у договора нет; есть: {here}")


# --- requests ---------------------------------------------------------------------------------------


def _request(description: Description, field: str, call: Request) -> Iterator[Problem]:
    known = _known_in(description, field)
    yield from _body(field, call)
    yield from _unknown_names(description, field, call, known)
    if call.puts_back:
        yield from _put_back(field, call.json_body[PUT_BACK], known - ALL_VARIABLES)
    answer = getattr(call, "answer", None)
    if isinstance(answer, CardAnswer):
        yield from _rows(description, f"{field}.answer", answer)
    if isinstance(call, Find):
        yield from _find(description, field, call)


def _known_in(description: Description, field: str) -> set[str]:
    """The variables of a call."""
    _, name, *inner = field.split(".")
    known = VARIABLES["find" if inner else name] | {
        one.name for one in description.fields if not one.secret
    }
    if name not in {"find", "list_changes", "ping"}:
        known |= description.taken_by_find
    call = getattr(description.calls, name)
    prepare = call.prepare if isinstance(call, Switch) and not inner else None
    return {*known, *(prepare.answer.take if prepare is not None else ())}


def _body(field: str, call: Request) -> Iterator[Problem]:
    if call.json_body is not None and call.form is not None:
        yield Problem(f"{field}.form", "нужно одно из двух: json или form")
    if call.method == "GET" and (call.json_body is not None or call.form is not None):
        yield Problem(f"{field}.method", "у запроса GET нет тела")


def _unknown_names(
    description: Description, field: str, call: Request, known: set[str]
) -> Iterator[Problem]:
    for name in sorted(call.names - known):
        what = _why_not_here(description, field, name)
        yield Problem(field, f"{what}; здесь бывают: {_in_braces(known)}")


def _why_not_here(description: Description, field: str, name: str) -> str:
    """What the author most likely meant by a variable that does not stand here."""
    if field.startswith("login"):
        return f"неизвестное поле {{{name}}}: поле договора называют в fields"
    if name in {key for step in description.login_steps for key in step.take}:
        return f"{{{name}}} выдаёт вход, в запросы его ставит login.keys"
    if name in {one.name for one in description.credentials}:
        return f"{{{name}}} — ключ договора: он бывает только во входе, в запросы его ставит login"
    elsewhere = [call for call, names in VARIABLES.items() if name in names]
    if elsewhere:
        return f"{{{name}}} бывает только в {', '.join(elsewhere)}"
    if description.calls.find is None:
        by_find = f"номер карты у оператора даёт вызов find (answer.take.{name})"
        return f"неизвестное поле {{{name}}}: {by_find}"
    return f"неизвестное поле {{{name}}}: find его не берёт"


def _put_back(field: str, value: object, taken: set[str]) -> Iterator[Problem]:
    """Only an object of an answer has fields to put back."""
    variable = value.only_variable if isinstance(value, Template) else None
    if variable is None or variable.name not in taken:
        sentence = f"у «...» стоит одно поле из take; здесь бывают: {_in_braces(taken)}"
        yield Problem(f"{field}.json", sentence)


def _in_braces(names: set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "никаких"


# --- answers ----------------------------------------------------------------------------------------


def names_a_card(description: Description, answer: CardAnswer) -> bool:
    """Whether an answer says whose it is."""
    by_number = answer.rows is not None or description.key == "msisdn"
    return answer.iccid is not None or (answer.msisdn is not None and by_number)


def _rows(description: Description, field: str, answer: CardAnswer) -> Iterator[Problem]:
    for name, expression in answer.expressions:
        if name == "state" and expression.path[0] == "status":
            # Every good answer is 200: it would mean one state, whatever the card does.
            sentence = "status — код ответа HTTP, а не состояние карты; поле тела — body.status"
            yield Problem(f"{field}.{name}", sentence)
        if expression.path[0] == "row" and (answer.rows is None or name == "rows"):
            yield Problem(f"{field}.{name}", "row — это строка списка, а список (rows) не назван")
    by_request = getattr(answer, "request_id", None) is not None and hasattr(answer, "result")
    if answer.rows is not None and not by_request and not names_a_card(description, answer):
        yield _needed(f"{field}.iccid", "по нему выбирается строка списка")


def _find(description: Description, field: str, call: Find) -> Iterator[Problem]:
    if not names_a_card(description, call.answer):
        yield _needed(f"{field}.answer.iccid", _OTHERS_CARD)
    reserved = ALL_VARIABLES | {one.name for one in description.credentials}
    if field.endswith(".prepare"):
        reserved |= description.taken_by_find
        if call.method != "GET":
            yield Problem(f"{field}.method", "подготовка только читает: нужен GET")
    for name in sorted(reserved & set(call.answer.take)):
        yield Problem(f"{field}.answer.take.{name}", "поле с таким именем уже есть")


def _switch(description: Description, action: Action) -> Iterator[Problem]:
    call, field = description.calls.switch(action), f"calls.{action}"
    taken = set(call.prepare.answer.take) if call.prepare is not None else set()
    yield from _card(description, field, call, taken)
    if call.answer.request_id is not None and description.calls.check is None:
        yield _needed("calls.check", f"им спрашивают об исходе {field}")


def _read(description: Description) -> Iterator[Problem]:
    """A list that ignores a filter answers about anybody's card."""
    call, card = description.calls.read, CARD | description.taken_by_find
    yield from _card(description, "calls.read", call, set())
    if (
        call.names & card
        and not call.names_in_body & card
        and not names_a_card(description, call.answer)
    ):
        yield _needed("calls.read.answer.iccid", "иначе не видно, о какой смарт-карте ответ")


def _card(
    description: Description, field: str, call: Request, taken: set[str]
) -> Iterator[Problem]:
    """A request that names no card; one whose variable is unknown has been named already."""
    is_known = call.names <= _known_in(description, field)
    if is_known and not call.names & (CARD | description.taken_by_find | taken):
        yield Problem(field, "в запросе нет смарт-карты: ни номера, ни того, что дал поиск")


def _states(description: Description) -> Iterator[Problem]:
    states, read = description.states, description.calls.read.answer
    meanings = {one.state for one in (*states.words.values(), states.absent) if one is not None}
    missing = {SimState.ACTIVE, SimState.INACTIVE} - meanings
    if missing:
        yield Problem("states.words", f"нет слова для состояния: {', '.join(sorted(missing))}")
    if states.absent is not None and read.iccid is None and len(read.state.path) <= 2:
        yield _needed("calls.read.answer.iccid", "иначе за states.absent сошёл бы любой ответ")


def _check(description: Description) -> Iterator[Problem]:
    call: Check | None = description.calls.check
    if call is None:
        return
    if "request_id" not in call.names:
        yield Problem("calls.check", "в запросе нет поля {request_id}: непонятно, о чём вопрос")
    if not any(description.calls.switch(action).answer.request_id for action in Action):
        yield _needed("calls.activate.answer.request_id", "без него спрашивать не о чем")
    if Result.DONE not in description.results.words.values():
        yield Problem("results.words", "ни одно слово не значит done")


def _list_changes(call: ListChanges) -> Iterator[Problem]:
    following, field = call.answer.next, "calls.list_changes"
    kinds = [following.cursor, following.link, following.page]
    if sum(kind is not None for kind in kinds) != 1:
        yield Problem(f"{field}.answer.next", "нужно одно из: cursor, link, page")
    if following.link is None and "cursor" not in call.names:
        what = "номер страницы" if following.page is not None else "метка продолжения"
        yield Problem(field, f"в запросе нет поля {{cursor}}: это {what}")


def _needed(field: str, why: str) -> Problem:
    return Problem(field, f"нужно заполнить: {why}")
