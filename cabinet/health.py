"""What /health/ready asks: database, broker, and works that should have been done lately."""

from datetime import timedelta

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from cabinet import clock
from cabinet.models import Heartbeat

# A regular work is silent after this long; the beat rings each of them every 30 s or oftener.
SILENCE = timedelta(minutes=3)
OWN_SWEEP = "cabinet.sweep"
_BROKER_PATIENCE = 0.8  # seconds
_started = clock.real_now()


def check() -> dict[str, str]:
    """Problem name to an English sentence; empty where all is well."""
    database = _database()
    return database | _broker() | ({} if database else _silent())


def _database() -> dict[str, str]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return {"database": "PostgreSQL does not answer."}
    return {}


def _broker() -> dict[str, str]:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=_BROKER_PATIENCE,
            socket_connect_timeout=_BROKER_PATIENCE,
        ) as client:
            client.ping()
    except redis.RedisError:
        return {"broker": "Redis does not answer."}
    return {}


def _silent() -> dict[str, str]:
    now = clock.real_now()
    last = dict(Heartbeat.objects.values_list("name", "at"))
    # A beat that never came is silence too, once this process has waited long enough for it.
    last.setdefault(OWN_SWEEP, _started)
    return {
        f"silent:{name}": f"Last done at {at:%Y-%m-%dT%H:%M:%SZ}."
        for name, at in last.items()
        if at < now - SILENCE
    }


def beat(name: str) -> None:
    """Note that a regular work has just been done (real time, the shifted clock would lie)."""
    Heartbeat.objects.update_or_create(name=name, defaults={"at": clock.real_now()})
