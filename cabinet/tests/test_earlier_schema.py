"""A database of an earlier release is migrated without losing a row of what merchants own.

`data/schema_2026_11.sql` is a plain dump of the demo data of that release (invented companies and cards),
with a lost card, open commands and an operator that is described by configuration.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from psycopg2.sql import SQL, Identifier

DUMP = Path(__file__).parent / "data" / "schema_2026_11.sql"
DATABASE = "earlier_schema"
# What a merchant or a member of staff would miss.
KEPT = (
    "cabinet_merchant",
    "cabinet_member",
    "cabinet_consent",
    "cabinet_auditevent",
    "smartcards_smartcard",
    "smartcards_coverage",
    "smartcards_command",
    "smartcards_commandstep",
    "subscriptions_subscription",
    "subscriptions_period",
    "subscriptions_tariff",
    "evotor_delivery",
    "evotor_subscriptionevent",
    "operators_operatoraccount",
    "orders_order",
)
# The demo of that release had no order.
ONE_ORDER = """
INSERT INTO public.orders_order (
    key, quantity, inn, recipient, phone, address, comment, state, track_number, created_at, created_by,
    account_id, merchant_id
)
SELECT gen_random_uuid(), 3, '7707083893', 'Соколова Анна', '79123456789', 'Пермь', '', 'accepted', '', now(),
    'Владелец', (SELECT min(id) FROM public.operators_operatoraccount),
    (SELECT min(id) FROM public.cabinet_merchant)
"""


@pytest.fixture(scope="module")
def database_url(django_db_setup, django_db_blocker) -> Iterator[str]:
    """A database of its own with the dump in it; dropped afterwards."""
    name = f"{DATABASE}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with django_db_blocker.unblock():
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
            cursor.execute(
                f'CREATE DATABASE "{name}" TEMPLATE template0'
                " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
            )
        url = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
        with psycopg2.connect(url) as loading, loading.cursor() as cursor:
            cursor.execute(DUMP.read_text(encoding="utf-8"))
            cursor.execute(ONE_ORDER)
        loading.close()
        yield url
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def counts(url: str) -> dict[str, int]:
    with psycopg2.connect(url) as reading, reading.cursor() as cursor:
        found = {}
        for table in KEPT:
            cursor.execute(SQL("SELECT count(*) FROM public.{}").format(Identifier(table)))
            found[table] = cursor.fetchall()[0][0]
    reading.close()
    return found


def order_lines(url: str) -> list[tuple[int, int]]:
    """Number and price of the cards of every order."""
    with psycopg2.connect(url) as reading, reading.cursor() as cursor:
        cursor.execute("SELECT quantity, price_kopecks FROM public.orders_orderline ORDER BY id")
        found = cursor.fetchall()
    reading.close()
    return found


def test_migrating_an_earlier_release_loses_no_row(database_url):
    before = counts(database_url)

    migrated = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--no-input"],
        cwd=settings.BASE_DIR,
        env=os.environ | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert migrated.returncode == 0, migrated.stderr
    assert counts(database_url) == before
    assert order_lines(database_url) == [(3, 0)]
