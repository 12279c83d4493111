"""Who gets what from every address of the site: one table. A new address must be put into it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import transaction
from django.db.models import ForeignKey
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from cabinet import clock
from cabinet.actors import SYSTEM
from cabinet.enums import Role
from cabinet.health import OWN_SWEEP, record_heartbeat
from cabinet.models import User
from cabinet.tests.companies import FOREIGN, Company, Rows, all_rows, make_companies
from smartcards.mass_operations import services as mass_operations
from smartcards.states import MassAction
from smartcards.tests.cards import clock_at
from subscriptions.models import Module

pytestmark = pytest.mark.django_db

GET, POST, PUT = "GET", "POST", "PUT"
Args = Callable[[Company], dict[str, Any]]


def _none(_company: Company) -> dict[str, Any]:
    return {}


def _heartbeat(_company: Company) -> dict[str, Any]:
    """A periodic task has just been done, however long this test process has been running."""
    record_heartbeat(OWN_SWEEP)
    return {}


def _ticket(_company: Company) -> dict[str, Any]:
    return {"ticket": "never-issued"}


def _mass(company: Company) -> dict[str, Any]:
    """Work on the company's cards that is to be confirmed."""
    selection = mass_operations.selection_of(ids=[company.working.pk])
    begun = mass_operations.begin(
        merchant=company.merchant,
        action=MassAction.DEACTIVATE,
        selection=selection,
        form_key=uuid4(),
        by=SYSTEM,
        at=clock.now(),
    )
    return {"key": begun.key}


def _csv(_company: Company) -> dict[str, Any]:
    return {"kind": "csv"}


def _csv_of_card(company: Company) -> dict[str, Any]:
    return {"pk": company.working.pk, "kind": "csv"}


def _other_module(_company: Company) -> dict[str, Any]:
    return {"pk": Module.objects.get(code="other").pk}


def _pk(name: str) -> Args:
    return lambda company: {"pk": getattr(company, name).pk}


def _paper(company: Company) -> dict[str, Any]:
    return {"pk": company.order.pk, "paper": company.paper.pk}


def _colleague(company: Company) -> dict[str, Any]:
    return {"pk": company.people[Role.CASHIER].pk}


@dataclass(frozen=True)
class Row:
    """One address and method. `statuses`: anonymous, owner, manager, accountant, cashier, outsider.

    The outsider is the owner of another company: asks for our object where the address names one, else
    for the page of their own.
    """

    name: str
    method: str
    args: Args
    statuses: str

    @property
    def expected(self) -> dict[str, int]:
        return dict(zip(VISITORS, map(int, self.statuses.split()), strict=True))

    @property
    def names_an_object(self) -> bool:
        return self.args not in {_none, _ticket, _other_module, _csv}


VISITORS = ("anonymous", *(role.value for role in Role), "outsider")
CARD, WAITING, NEW = _pk("working"), _pk("waiting"), _pk("new")
ORDER, PAID, ASKED = _pk("order"), _pk("subscription"), _pk("asked")

# fmt: off
#                                                       anonymous  owner manager accountant cashier  outsider
TABLE = (
    Row("cards", GET, _none,                                 "302    200    200    200    200    200"),
    Row("choose_cards", GET, _none,                          "302    200    200    403    403    200"),
    Row("choose_cards", POST, _none,                         "302    302    302    403    403    302"),
    Row("cards_ticked", POST, _none,                         "302    200    200    403    200    200"),
    Row("mass_new", GET, _none,                              "302    200    200    200    200    200"),
    Row("mass_new", POST, _none,                             "302    302    302    302    302    302"),
    Row("mass", GET, _mass,                                  "302    200    200    200    200    404"),
    Row("mass_progress", GET, _mass,                         "302    200    200    200    200    404"),
    Row("mass_confirm", POST, _mass,                         "302    302    302    403    403    404"),
    Row("mass_cancel", POST, _mass,                          "302    302    302    403    403    404"),
    Row("mass_repeat", POST, _mass,                          "302    302    302    302    302    404"),
    Row("card", GET, CARD,                                   "302    200    200    200    200    404"),
    Row("cards_file", GET, _csv,                             "302    200    200    200    200    200"),
    Row("cards_history_file", GET, _csv,                     "302    200    200    200    200    200"),
    Row("card_history_file", GET, _csv_of_card,              "302    200    200    200    200    404"),
    Row("card_progress", GET, WAITING,                       "302    200    200    200    200    404"),
    Row("card_edit", GET, CARD,                              "302    200    200    403    403    404"),
    Row("card_edit", POST, CARD,                             "302    200    200    403    403    404"),
    Row("card_activate", GET, NEW,                           "302    302    302    302    302    404"),
    Row("card_activate", POST, NEW,                          "302    302    302    403    302    404"),
    Row("card_deactivate", GET, CARD,                        "302    200    200    200    200    404"),
    Row("card_deactivate", POST, CARD,                       "302    302    302    403    403    404"),
    Row("card_cancel", GET, WAITING,                         "302    302    302    302    302    404"),
    Row("card_cancel", POST, WAITING,                        "302    302    302    403    302    404"),
    Row("card_check", GET, CARD,                             "302    302    302    302    302    404"),
    Row("card_check", POST, CARD,                            "302    302    302    403    302    404"),
    Row("card_replace", GET, CARD,                           "302    302    302    403    403    404"),
    Row("card_replace", POST, CARD,                          "302    302    302    403    403    404"),
    Row("card_withdraw", GET, CARD,                          "302    200    200    403    403    404"),
    Row("card_withdraw", POST, CARD,                         "302    200    200    403    403    404"),
    Row("card_take_back", GET, CARD,                         "302    302    302    403    403    404"),
    Row("card_take_back", POST, CARD,                        "302    302    302    403    403    404"),
    Row("subscription", GET, _none,                          "302    200    200    200    403    200"),
    Row("subscription_renew", GET, PAID,                     "302    200    200    200    403    404"),
    Row("subscription_renew", POST, PAID,                    "302    200    200    200    403    404"),
    Row("subscription_change", GET, PAID,                    "302    200    200    200    403    404"),
    Row("subscription_change", POST, PAID,                   "302    200    200    200    403    404"),
    Row("subscription_stop", GET, PAID,                      "302    200    403    403    403    404"),
    Row("subscription_stop", POST, PAID,                     "302    302    403    403    403    404"),
    Row("subscription_resume", GET, PAID,                    "302    302    302    302    403    404"),
    Row("subscription_resume", POST, PAID,                   "302    302    302    302    403    404"),
    Row("payments_file", GET, _csv,                          "302    200    200    200    403    200"),
    Row("month", GET, _none,                                 "302    200    200    200    403    200"),
    # Nothing was charged in that year.
    Row("month_file", GET, _csv,                             "302    404    404    404    403    404"),
    Row("market_leave", GET, ASKED,                          "302    200    200    200    403    404"),
    Row("modules", GET, _none,                               "302    200    200    200    403    200"),
    Row("module_install", GET, _other_module,                "302    200    403    403    403    200"),
    Row("module_install", POST, _other_module,               "302    302    403    403    403    302"),
    Row("module_remove", GET, _other_module,                 "302    302    403    403    403    302"),
    Row("module_remove", POST, _other_module,                "302    302    403    403    403    302"),
    Row("orders", GET, _none,                                "302    200    200    200    403    200"),
    Row("order_new", GET, _none,                             "302    200    200    403    403    200"),
    Row("order_new", POST, _none,                            "302    200    200    403    403    200"),
    Row("order", GET, ORDER,                                 "302    200    200    200    403    404"),
    Row("order_paper", GET, _paper,                          "302    200    200    200    403    404"),
    Row("order_cancel", GET, ORDER,                          "302    200    200    403    403    404"),
    Row("order_received", GET, ORDER,                        "302    302    302    403    403    404"),
    Row("order_received", POST, ORDER,                       "302    302    302    403    403    404"),
    Row("order_cancel", POST, ORDER,                         "302    302    302    403    403    404"),
    Row("company", GET, _none,                               "302    200    200    200    403    200"),
    Row("company", POST, _none,                              "302    200    200    403    403    200"),
    Row("team", GET, _none,                                  "302    200    403    403    403    200"),
    Row("team", POST, _none,                                 "302    200    403    403    403    200"),
    Row("member", GET, _colleague,                           "302    200    403    403    403    404"),
    Row("member", POST, _colleague,                          "302    200    403    403    403    404"),
    Row("messages", GET, _none,                              "302    200    200    200    200    200"),
    Row("message_settings", GET, _none,                      "302    200    200    200    200    200"),
    Row("message_settings", POST, _none,                     "302    302    302    302    302    302"),
    Row("message_link", POST, _none,                         "302    302    302    302    302    302"),
    Row("documents", GET, _none,                             "302    200    200    200    200    200"),
    Row("profile", GET, _none,                               "302    200    200    200    200    200"),
    Row("profile", POST, _none,                              "302    200    200    200    200    200"),
    Row("second_factor", GET, _none,                         "302    200    200    200    200    200"),
    Row("second_factor", POST, _none,                        "302    200    200    200    200    200"),
    Row("second_factor_ask", GET, _none,                     "302    302    302    302    302    302"),
    Row("second_factor_ask", POST, _none,                    "302    302    302    302    302    302"),
    Row("merchants", GET, _none,                             "302    200    200    200    200    200"),
    Row("merchants", POST, _none,                            "302    404    404    404    404    404"),
    Row("logout", POST, _none,                               "302    302    302    302    302    302"),
    # Public: the way in, the law, machines.
    Row("login", GET, _none,                                 "200    302    302    302    302    302"),
    Row("login", POST, _none,                                "200    302    302    302    302    302"),
    Row("login_code", GET, _none,                            "302    302    302    302    302    302"),
    Row("login_code", POST, _none,                           "302    302    302    302    302    302"),
    Row("welcome", GET, _none,                               "302    302    302    302    302    302"),
    Row("welcome", POST, _none,                              "302    302    302    302    302    302"),
    Row("welcome_code", GET, _none,                          "302    302    302    302    302    302"),
    Row("welcome_code", POST, _none,                         "302    302    302    302    302    302"),
    Row("confirm_email", GET, _none,                         "404    404    404    404    404    404"),
    Row("confirm_email", POST, _none,                        "404    404    404    404    404    404"),
    Row("unsubscribe", GET, _none,                           "404    404    404    404    404    404"),
    Row("unsubscribe", POST, _none,                          "404    404    404    404    404    404"),
    Row("legal", GET, lambda _company: {"kind": "offer"},    "200    200    200    200    200    200"),
    Row("health_live", GET, _none,                           "200    200    200    200    200    200"),
    Row("health_ready", GET, _heartbeat,                     "200    200    200    200    200    200"),
    Row("evotor_enter", GET, _none,                          "403    403    403    403    403    403"),
    Row("evotor_entered", GET, _ticket,                      "403    303    303    303    303    303"),
    Row("evotor_entered", POST, _ticket,                     "403    303    303    303    303    303"),
    Row("evotor_ticket", GET, _ticket,                       "403    403    403    403    403    403"),
    Row("evotor_ticket", POST, _ticket,                      "403    403    403    403    403    403"),
    # The market's hooks: a session is nothing to them, the token is the proof.
    Row("evotor_user_create", POST, _none,                   "401    401    401    401    401    401"),
    Row("evotor_user_verify", POST, _none,                   "401    401    401    401    401    401"),
    Row("evotor_user_token", POST, _none,                    "401    401    401    401    401    401"),
    Row("evotor_subscription_event", POST, _none,            "401    401    401    401    401    401"),
    Row("evotor_installation_event", POST, _none,            "401    401    401    401    401    401"),
    Row("evotor_devices", PUT, _none,                        "401    401    401    401    401    401"),
    Row("evotor_stores", PUT, _none,                         "401    401    401    401    401    401"),
    Row("evotor_employees", PUT, _none,                      "401    401    401    401    401    401"),
    Row("evotor_unknown", GET, _none,                        "404    404    404    404    404    404"),
    Row("operator_callback", POST, lambda _company: {"code": "mts"}, "404 404 404 404 404 404"),
    Row("admin:index", GET, _none,                           "302    302    302    302    302    302"),
)
# fmt: on

PUBLIC = frozenset(
    {"login", "login_code", "welcome", "welcome_code", "legal", "admin:index"}
    | {"confirm_email", "unsubscribe"}
    | {row.name for row in TABLE if row.name.startswith(("evotor_", "health_", "operator_"))}
)


@pytest.fixture
def world(settings: Any, tmp_path: Any) -> tuple[Company, Company]:
    clock_at(settings, tmp_path)
    return make_companies()


def address(row: Row, company: Company) -> str:
    return reverse(row.name, kwargs=row.args(company))


# --- the table ------------------------------------------------------------------------------------


def names_of_the_site() -> set[str]:
    """Every name of the resolver; of the admin only its first page."""
    return set(_names(get_resolver().url_patterns)) | {"admin:index"}


def _names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern.name or f"(no name) {pattern.pattern}"
        elif pattern.namespace != "admin":
            yield from _names(pattern.url_patterns)


def test_every_address_stands_in_the_table():
    missing = names_of_the_site() - {row.name for row in TABLE}

    assert missing == set(), f"Put these names into TABLE of {__file__}, with who may see them."


def test_every_row_of_the_table_is_an_address():
    gone = {row.name for row in TABLE} - names_of_the_site()

    assert gone == set(), f"There are no such addresses any more: remove the rows from {__file__}."


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.name}-{row.method}")
def test_each_visitor_gets_the_status_of_the_table(row, world):
    ours, outsider = world

    answers = {visitor: _answer(row, visitor, ours, outsider) for visitor in VISITORS}

    assert {visitor: answer.status_code for visitor, answer in answers.items()} == row.expected
    if row.name not in PUBLIC:
        assert answers["anonymous"].headers["Location"].startswith("/login/?next=")
    assert "Наша" not in answers["outsider"].content.decode()


def _answer(row: Row, visitor: str, ours: Company, outsider: Company) -> Any:
    """What the visitor gets; nothing of it stays in the database."""
    with transaction.atomic():
        client = _client(visitor, ours, outsider)
        asked = address(row, ours)
        # A form is sent as an empty one.
        answer: Any = client.generic(
            row.method, asked, content_type="application/x-www-form-urlencoded"
        )
        if answer.streaming:
            whole = answer.getvalue()
            answer = HttpResponse(whole, status=answer.status_code, headers=answer.headers)
        transaction.set_rollback(True)
    return answer


def _client(visitor: str, ours: Company, outsider: Company) -> Client:
    if visitor == "anonymous":
        return Client()
    return outsider.client() if visitor == "outsider" else ours.client(Role(visitor))


def test_staff_alone_see_the_admin(world):
    User.objects.create_superuser("zoya", "long-enough-words")
    client = Client()
    client.force_login(User.objects.get(username="zoya"))

    assert client.get(reverse("admin:index")).status_code == 200


# --- foreign numbers in forms ---------------------------------------------------------------------


class Forms(HTMLParser):
    """The forms of a page: where they go, what they send when nothing is touched."""

    def __init__(self, page: str, address: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._here = address
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("method") == "post":
            self.found.append((given.get("action") or self._here, {}))
        elif tag == "form":
            self.found.append(("", {}))
        elif self.found and tag in {"input", "select", "textarea", "button"} and given.get("name"):
            self.found[-1][1].setdefault(given["name"], given.get("value", ""))


def forms_of(company: Company) -> list[tuple[str, dict[str, str]]]:
    """Every form that the owner meets, each kind of address once."""
    client = company.client()
    found: dict[tuple[str, tuple[str, ...]], tuple[str, dict[str, str]]] = {}
    for row in TABLE:
        page = client.get(address(row, company)) if row.method == GET else None
        if page is None or page.status_code != 200 or "html" not in page.headers["Content-Type"]:
            continue
        for action, fields in Forms(page.content.decode(), address(row, company)).found:
            if action and action != reverse("logout"):
                found[action, tuple(sorted(fields))] = (action, fields)
    return list(found.values())


# Sessions and the journal of changes are not what a form is after.
NOT_WATCHED = {"sessions.Session", "cabinet.LoginCode", "cabinet.AuditEvent"}


def test_foreign_numbers_in_forms_touch_nothing(world):
    ours, _outsider = world
    known, forms = all_rows(without=NOT_WATCHED), forms_of(ours)
    foreign = _rows_of_the_outsider(known)

    harmed = [
        f"{action}: {field}"
        for action, fields in forms
        for field in fields
        if field != "csrfmiddlewaretoken"
        for harm in _sent(ours.client(), action, fields | {field: str(FOREIGN)}, foreign)
        if harm
    ]

    assert len(forms) >= 12
    assert harmed == []


def _sent(client: Client, action: str, fields: dict[str, str], foreign: Rows) -> list[str]:
    """Foreign rows that differ after the form, and rows of ours that name a foreign one."""
    with transaction.atomic():
        before = all_rows(without=NOT_WATCHED)
        answer = client.post(action, fields)
        after = all_rows(without=NOT_WATCHED)
        transaction.set_rollback(True)
    assert answer.status_code in {200, 302, 403, 404}, (action, answer.status_code)
    changed = {key: row for key, row in after.items() if before.get(key) != row}
    return [
        *(str(key) for key in foreign if after.get(key) != foreign[key]),
        *(str(key) for key, row in changed.items() if _names_foreign(key[0], row)),
    ]


def _rows_of_the_outsider(known: Rows) -> Rows:
    """Rows with the foreign number, and rows that lead to them."""
    return {
        key: row for key, row in known.items() if key[1] == FOREIGN or _names_foreign(key[0], row)
    }


def _names_foreign(label: str, row: dict[str, Any]) -> bool:
    fields = apps.get_model(label)._meta.concrete_fields
    return any(row[field.attname] == FOREIGN for field in fields if isinstance(field, ForeignKey))


def test_check_of_foreign_rows_notices_a_change(world):
    _ours, outsider = world
    foreign = _rows_of_the_outsider(all_rows(without=NOT_WATCHED))

    harm = _sent(
        outsider.client(),
        reverse("card_edit", kwargs={"pk": FOREIGN}),
        {"label": "новая", "terminal": str(FOREIGN)},
        foreign,
    )

    assert ("smartcards.SmartCard", FOREIGN) in foreign
    changed = str(("smartcards.SmartCard", FOREIGN))
    assert harm == [changed, changed]


def test_foreign_order_is_neither_repeated_nor_found_by_key(world):
    ours, outsider = world
    client = ours.client()
    form = {
        f"cards_{outsider.order.lines.get().account_id}": 1,
        "company": "ООО «Наша»",
        "inn": "7707083893",
        "recipient": "Соколова Анна",
        "phone": "+7 912 345-67-89",
        "address": "Пермь, Ленина, 10",
        "key": str(outsider.order.key),
        "step": "confirm",
    }

    repeated = client.get(reverse("order_new"), {"repeat": outsider.order.pk})
    placed = client.post(reverse("order_new"), form)

    assert repeated.status_code == 404
    assert str(FOREIGN) not in placed.headers.get("Location", "")
    assert "Чужая" not in placed.content.decode()


def test_a_company_one_does_not_belong_to_cannot_be_chosen(world):
    ours, outsider = world
    client = ours.client()

    answer = client.post(reverse("merchants"), {"merchant": outsider.merchant.pk})

    assert answer.status_code == 404
    assert "Чужая" not in client.get("/").content.decode()
