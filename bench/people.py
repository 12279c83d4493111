"""People at the pages of a running product, signed in without a browser."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import requests
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client

from cabinet.models import User
from smartcards.models import SmartCard
from subscriptions.models import Subscription

ACCEPTED, ACCEPTED_OFF = "Запрос принят: включаем", "Запрос принят: отключаем"
# A click whose answer was lost may have been committed: then the person reads one of these.
ACCEPTED_BEFORE = (ACCEPTED, "Запрос уже принят", "уже работает")


@dataclass
class Person:
    """Somebody of a company at a browser of their own; `subscription` leads to the company."""

    web: str
    subscription: Subscription
    session: str
    token: str

    def get(self, path: str) -> requests.Response:
        """A page. Raises requests.RequestException."""
        return requests.get(self.web + path, cookies=self._cookies(), timeout=60)

    def post(self, path: str, **form: Any) -> requests.Response:
        """A form; the page it leads to is shown. Raises requests.RequestException."""
        answer = requests.post(
            self.web + path,
            data={"csrfmiddlewaretoken": self.token, **form},
            cookies=self._cookies(),
            timeout=60,
            allow_redirects=False,
        )
        return self.get(answer.headers["Location"]) if answer.is_redirect else answer

    def activate(self, card: SmartCard) -> requests.Response:
        """«Активировать». Raises requests.RequestException."""
        return self.post(f"/cards/{card.pk}/activate/")

    def deactivate(self, card: SmartCard) -> requests.Response:
        """«Деактивировать». Raises requests.RequestException."""
        return self.post(f"/cards/{card.pk}/deactivate/")

    @contextmanager
    def reading(self, *paths: str) -> Iterator["list[PageLoad]"]:
        """Loads page after page as long as the block, and gives what came."""
        over, loads = Event(), list[PageLoad]()

        def read() -> None:
            while not over.is_set():
                for path in paths:
                    loads.append(PageLoad.of(self, path))
                    time.sleep(0.1)

        thread = Thread(target=read)
        thread.start()
        try:
            yield loads
        finally:
            over.set()
            thread.join(timeout=60)

    def _cookies(self) -> dict[str, str]:
        return {settings.SESSION_COOKIE_NAME: self.session}


@dataclass(frozen=True)
class PageLoad:
    """One page: when it was asked for (monotonic), the seconds it took, and what is wrong with it.

    503 with Retry-After and a sentence is a refusal, and not wrong.
    """

    at: float
    seconds: float
    refused: bool = False
    wrong: str = ""

    @classmethod
    def of(cls, person: Person, path: str) -> "PageLoad":
        """Load a page now. Raises nothing of HTTP."""
        at = time.monotonic()
        try:
            answer = person.get(path)
        except requests.RequestException as error:
            return cls(at, time.monotonic() - at, wrong=f"no answer: {type(error).__name__}")
        seconds = time.monotonic() - at
        if is_refusal(answer):
            return cls(at, seconds, refused=True)
        wrong = "" if answer.status_code == 200 else f"{path} answered {answer.status_code}"
        return cls(at, seconds, wrong=wrong)


def sign_in(web: str, subscription: Subscription, user: User) -> Person:
    """A member of the subscription's company with a session."""
    client = Client()
    client.force_login(user)
    session = SessionStore(client.cookies[settings.SESSION_COOKIE_NAME].value)
    session["_csrftoken"] = token = "kassovye" * 4
    session.save()
    return Person(web, subscription, str(session.session_key), token)


def page_text(answer: requests.Response) -> str:
    """The text of a page, without the tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text)).strip()


def is_refusal(answer: requests.Response) -> bool:
    """What a page answers that the database does not let work: 503, a sentence and Retry-After."""
    explained = "недоступен" in answer.text or "нельзя" in answer.text
    return answer.status_code == 503 and explained and "Retry-After" in answer.headers


def was_accepted(answer: requests.Response, texts: Sequence[str] = (ACCEPTED,)) -> bool:
    """Whether the page after a click says one of the texts."""
    return answer.status_code == 200 and any(text in page_text(answer) for text in texts)
