"""F2 and F22: the web process dies at the worst moment; two people at one card."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import requests

from bench.named_house import House, Visitor, page_text
from bench.named_trial import Findings, Trial, until
from bench.named_wsgi import WORD
from cabinet.states import Role
from smartcards.models import Command, SmartCard

FAULTS = ("F2", "F22")
ROUNDS = 8


def killed_before_publish(house: House) -> Findings:
    """F2: the click is committed, the process dies before anybody is woken."""
    found, owner = Findings(), house.merchant(3)
    waits = []
    for card in owner.cards(3):
        (house.servers.folder / WORD).touch()
        clicked = time.monotonic()
        try:
            answer = owner.activate(card)
            found.expect(False, f"the web did not die: {answer.status_code}")
        except requests.ConnectionError:
            pass
        began = until(lambda one=card: house.truth(one)["calls"]["submit"] > 0, seconds=15)  # type: ignore[misc]
        found.expect(began is not None, f"card {card.pk}: nothing left within 15 s")
        waits.append(time.monotonic() - clicked)
        # The person, who saw no answer, clicks again.
        again = until(house.alive, seconds=10)
        found.expect(again is not None, "the web did not come back")
        status = owner.activate(card).status_code
        found.expect(status == 200, f"the second click was answered {status}")
        house.settled([card], seconds=20)
        found.wrong += house.books([card], ["activate"])
        number = Command.objects.filter(card=card).count()
        found.expect(number == 1, f"{number} commands for one click")
    found.expect(max(waits) <= 10, f"the operation began after {max(waits):.1f} s")
    found.note(f"began {max(waits):.1f} s after the click at the latest (limit 10)")
    return found


def two_people_at_one_card(house: House) -> Findings:
    """F22: owner and colleague at the same instant; one order, both told."""
    found, owner = Findings(), house.merchant(ROUNDS)
    colleague = house.person(owner.subscription.merchant, Role.MANAGER, "Борис Второй")
    cards = owner.cards(ROUNDS)
    told: list[str] = []
    with ThreadPoolExecutor(2) as both:
        for card in cards:
            path = f"/cards/{card.pk}/activate/"
            pages = [both.submit(one.post, path) for one in (owner.browser, colleague)]
            words = [page_text(page.result()) for page in pages]
            accepted = sum("Запрос принят: включаем" in text for text in words)
            refused = [text for text in words if "Запрос принят: включаем" not in text]
            found.expect(accepted == 1, f"card {card.pk}: {accepted} requests accepted")
            said = any("его запросил(а)" in text or "уже работает" in text for text in refused)
            found.expect(
                bool(refused) and said, f"card {card.pk}: the second was not told who was first"
            )
            told += refused
    house.settled(cards, seconds=30)
    found.wrong += house.books(cards, ["activate"])
    _against_each_other(house, found, owner.browser, colleague, cards)
    found.note(
        f"{ROUNDS} double clicks: one command each, the second told who was first {len(told)} times"
    )
    return found


def _against_each_other(
    house: House, found: Findings, first: Visitor, second: Visitor, cards: Sequence[SmartCard]
) -> None:
    """One wants the card off, the other wants it on."""
    with ThreadPoolExecutor(2) as both:
        for card in cards:
            off = both.submit(first.post, f"/cards/{card.pk}/deactivate/")
            on = both.submit(second.post, f"/cards/{card.pk}/activate/")
            words = page_text(off.result()), page_text(on.result())
            found.expect(
                "Запрос принят: отключаем" in words[0], f"card {card.pk}: «off» was not taken"
            )
            told = "его запросил(а)" in words[1] or "уже работает" in words[1]
            found.expect(told, f"card {card.pk}: the colleague was not told")
    house.settled(cards, seconds=30)
    found.wrong += house.books(cards, ["activate", "deactivate"])


def trials(house: House) -> list[Trial]:
    """What is played with people at the pages."""
    return [
        Trial(
            "F2",
            "web killed -9 between COMMIT and publish, 3 clicks",
            lambda: killed_before_publish(house),
        ),
        Trial(
            "F22",
            f"owner and colleague click one card at once, {2 * ROUNDS} rounds",
            lambda: two_people_at_one_card(house),
        ),
    ]
