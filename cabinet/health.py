"""Checks of /health/ready: database, broker, heartbeats of periodic tasks."""

from datetime import datetime, timedelta

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from cabinet import clock
from cabinet.models import Heartbeat

# A heartbeat older than this is a problem; beat schedules each task every 60 s or more often.
MAX_HEARTBEAT_AGE = timedelta(minutes=3)
OWN_SWEEP = "cabinet.sweep"
_BROKER_TIMEOUT = 0.8  # seconds
_started = clock.real_now()


def check() -> dict[str, str]:
    """Name of each problem to an English sentence; empty where all is well."""
    database = _database()
    return database | _broker() | ({} if database else missing_heartbeats(started=_started))


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
            socket_timeout=_BROKER_TIMEOUT,
            socket_connect_timeout=_BROKER_TIMEOUT,
        ) as client:
            client.ping()
    except redis.RedisError:
        return {"broker": "Redis does not answer."}
    return {}


def missing_heartbeats(*, started: datetime) -> dict[str, str]:
    """Problems of periodic tasks by real time; a heartbeat that never came counts from `started`."""
    now = clock.real_now()
    last = dict(Heartbeat.objects.values_list("name", "at"))
    last.setdefault(OWN_SWEEP, started)
    return {
        f"silent:{name}": f"Last done at {at:%Y-%m-%dT%H:%M:%SZ}."
        for name, at in last.items()
        if at < now - MAX_HEARTBEAT_AGE
    }


def record_heartbeat(name: str) -> None:
    """Store that a periodic task has just been done, in real time: the sandbox clock may be shifted."""
    Heartbeat.objects.update_or_create(name=name, defaults={"at": clock.real_now()})
