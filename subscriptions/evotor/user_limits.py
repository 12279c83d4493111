"""How much a merchant's own token may send: the token stands in the frame's address, so anybody may have it.

Counted in Redis for each merchant and minute. The application's token serves all merchants and is not
limited. With Redis away only the size of a body is.
"""

from django.core.cache import cache
from redis import RedisError

from cabinet import clock

SECONDS = 60
REQUESTS = 120
BYTES = 20 * 1024 * 1024


def is_over_requests(user_id: str) -> bool:
    """Count one request; whether there were more than `REQUESTS` within this minute."""
    return _counted(f"hook-requests:{user_id}", 1) > REQUESTS


def is_over_bytes(user_id: str, size: int) -> bool:
    """Count the bytes of one body, unzipped; whether there were more than `BYTES` within this minute."""
    return _counted(f"hook-bytes:{user_id}", size) > BYTES


def _counted(key: str, number: int) -> int:
    window = int(clock.real_now().timestamp()) // SECONDS
    counter = f"{key}:{window}"
    try:
        cache.add(counter, 0, timeout=2 * SECONDS)
        return int(cache.incr(counter, number))
    except (RedisError, OSError, ValueError):  # away, or emptied between the two
        return 0
