"""The market's hook against a bare Django view, under the same gunicorn command and with the same bodies."""

import json
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import count
from uuid import uuid4

import requests
from django.conf import settings
from django.db import connection

from bench import bare_view, rows
from bench.harness import Harness
from bench.timing import timed, until
from cabinet import clock
from cabinet.launcher.ports import free_port
from cabinet.models import Merchant
from subscriptions.evotor.models import Delivery
from subscriptions.models import Tariff

CONNECTIONS = 8  # as many as the server has threads
_PATH = "/api/v1/subscription/event"
_users = count(1)


def rates(harness: Harness, *, turns: int, each: int) -> tuple[float, float]:
    """Hooks a second that we take, and that the bare view takes; in turns, so that a change of the
    machine's load and the work of the workers fall upon both.

    Raises AssertionError where a hook is not answered 200 or not stored.
    """
    bare = start_bare(harness)
    product_id = str(rows.merchant(1).module.market_product_id)
    known, mine, theirs = Delivery.objects.count(), 0.0, 0.0
    for _ in range(turns):
        bodies = _events(product_id, each)
        theirs += timed(partial(_send_all, bare, bodies))
        mine += timed(partial(_send_all, harness.product.web, bodies))
    stored = Delivery.objects.count() - known
    assert stored == turns * each, f"{stored} of {turns * each} hooks are stored"
    return turns * each / mine, turns * each / theirs


def processing_rate(harness: Harness, number: int) -> float:
    """Events a second, each of another merchant, from the first that is sent to the last that is processed."""
    module = rows.merchant(1).module
    # An unknown tariff would be one more matter for staff.
    Tariff.objects.get_or_create(
        module=module, plan_id="bench", defaults={"title": "Месяц", "months": 1, "price_kopecks": 1}
    )
    bodies = _events(str(module.market_product_id), number)
    harness.processes.restart("beat", "worker")
    begun = Delivery.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    done = Delivery.objects.filter(pk__gt=begun, state=Delivery.State.DONE)

    def all_processed() -> None:
        _send_all(harness.product.web, bodies)
        until(lambda: done.count() == number, f"{number} events are not processed", seconds=300)

    return number / timed(all_processed)


def start_bare(harness: Harness) -> str:
    """The address of the same server with nothing but the bare views."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_hook")
        cursor.execute(bare_view.TABLE)
    spec, port = harness.processes.specs["web"], free_port()
    ours = harness.product.web.rpartition(":")[2]
    argv = tuple(part.replace(f"127.0.0.1:{ours}", f"127.0.0.1:{port}") for part in spec.argv)
    env = {**spec.env, "DJANGO_SETTINGS_MODULE": "bench.bare_settings"}
    log = spec.log.with_name("bare.log")
    harness.processes.kill("bare")
    harness.processes.start(replace(spec, name="bare", argv=argv, env=env, log=log))
    address = f"http://localhost:{port}"
    until(partial(_answers, address), "the bare view does not answer", seconds=60)
    return address


def _answers(address: str) -> bool:
    try:
        return requests.post(address + _PATH, b"{}", timeout=2).ok
    except requests.RequestException:
        return False


def _events(product_id: str, number: int) -> list[bytes]:
    """The first event of so many new merchants."""
    at = clock.now()
    users = [f"09-{next(_users):015}" for _ in range(number)]
    Merchant.objects.bulk_create([Merchant(evotor_user_id=user, created_at=at) for user in users])
    return [
        json.dumps(
            {
                "subscriptionId": str(uuid4()),
                "productId": product_id,
                "userId": user,
                "timestamp": at.isoformat(),
                "sequenceNumber": 1,
                "type": "SubscriptionCreated",
                "planId": "bench",
                "trialPeriodDuration": "P0DT",
                "deviceNumber": 1,
            }
        ).encode()
        for user in users
    ]


def _send_all(address: str, bodies: Sequence[bytes]) -> None:
    each = [bodies[start::CONNECTIONS] for start in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(partial(_send, int(address.rpartition(":")[2])), each):
            pass


def _send(port: int, bodies: Sequence[bytes]) -> None:
    """One after another over one connection, by the least that a client can do."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connected:
        for request in _requests(bodies):
            connected.sendall(request)
            answer = b""
            while not answer.endswith(b"\r\n\r\n{}"):
                received = connected.recv(65536)
                assert received, answer[:200]
                answer += received
            assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]


def _requests(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """As the market's Java client sends them."""
    head = (
        f"POST {_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Accept: application/json, application/*+json\r\nUser-Agent: Java/1.8.0_151\r\n"
        f"Authorization: Bearer {settings.EVOTOR_APP_TOKENS[0]}\r\n"
    )
    for body in bodies:
        yield f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
