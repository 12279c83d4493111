"""Access tokens in Redis."""

import threading

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings

from operators.client.tokens import RedisTokens, TokensAway
from operators.limits import quota

NOBODY_THERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _empty_server():
    quota.client(django_settings.REDIS_URL).flushdb()


@pytest.fixture
def tokens() -> RedisTokens:
    return RedisTokens(django_settings.REDIS_URL, lock_seconds=1)


def test_token_is_shared_and_lies_encrypted(tokens):
    tokens.put("mts", "very-secret", ttl=60)

    server = quota.client(django_settings.REDIS_URL)
    other = RedisTokens(django_settings.REDIS_URL, lock_seconds=1)
    assert other.get("mts") == "very-secret"
    assert "very-secret" not in str(server.get("token:mts"))
    assert 0 < server.pttl("token:mts") <= 60_000


def test_forgotten_and_unknown_tokens_are_none(tokens):
    tokens.put("mts", "very-secret", ttl=60)
    tokens.forget("mts")

    assert tokens.get("mts") is None
    assert tokens.get("other") is None


def test_token_of_a_lost_encryption_key_is_none(tokens, settings):
    tokens.put("mts", "very-secret", ttl=60)
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    assert tokens.get("mts") is None


def test_only_one_at_a_time_logs_in(tokens):
    waited: list[str] = []

    def other() -> None:
        try:
            with tokens.lock("mts"):
                waited.append("in")
        except TokensAway:
            waited.append("away")

    with tokens.lock("mts"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.3)
        held = list(waited)
    thread.join(5)

    assert held == []
    assert waited == ["in"]


def test_lock_held_too_long_is_reported(tokens):
    server = quota.client(django_settings.REDIS_URL)
    server.set("token-lock:mts", "somebody", px=10_000)

    with pytest.raises(TokensAway, match="слишком долго"), tokens.lock("mts"):
        pytest.fail("the lock is another's")


def test_lock_that_ran_out_while_held_hurts_nobody(tokens):
    with tokens.lock("mts"):
        quota.client(django_settings.REDIS_URL).delete("token-lock:mts")

    with tokens.lock("mts") as again:
        assert again is not None


@pytest.mark.parametrize(
    "act",
    [
        lambda tokens: tokens.get("mts"),
        lambda tokens: tokens.put("mts", "x", 60),
        lambda tokens: tokens.forget("mts"),
        lambda tokens: tokens.lock("mts").__enter__(),
    ],
    ids=["get", "put", "forget", "lock"],
)
def test_tokens_are_away_with_the_server(act):
    with pytest.raises(TokensAway, match="Redis не отвечает"):
        act(RedisTokens(NOBODY_THERE, lock_seconds=1))
