"""What the dispatcher is measured against: the same calls by a pool of threads, and nothing else."""

import threading
from concurrent.futures import ThreadPoolExecutor

import requests

from smartcards.models import SmartCard

_HEADERS = {"Authorization": "Bearer demo-partner-token"}
_SECONDS = 20


def switch_all(sandbox: str, cards: list[SmartCard], threads: int) -> None:
    """Find each card's service and switch it on, with one `requests.Session` for each thread."""
    local = threading.local()
    services = f"{sandbox}/operators/tmf640/service"

    def switch(card: SmartCard) -> None:
        session = local.__dict__.setdefault("session", requests.Session())
        named = {"supportingResource.iccid": card.iccid}
        found = session.get(services, params=named, headers=_HEADERS, timeout=_SECONDS).json()
        done = session.patch(
            f"{services}/{found[0]['id']}",
            json={"state": "active"},
            headers=_HEADERS,
            timeout=_SECONDS,
        )
        assert done.status_code == 200, done.text

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(switch, cards))
