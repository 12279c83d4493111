"""Health probes for machines: liveness and readiness. Neither touches a session."""

from concurrent.futures import Future, ThreadPoolExecutor, wait

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

TIMEOUT = 1.0  # seconds for all checks together

# In threads: a server that hangs must not delay the answer.
_checkers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="health")


@login_not_required
@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": "ok"})


@login_not_required
@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200, or 503 with what is wrong; in about a second, whatever does not answer."""
    problems = _problems()
    if problems:
        return JsonResponse({"status": "unavailable", "problems": problems}, status=503)
    return JsonResponse({"status": "ok"})


def _problems() -> dict[str, str]:
    running = {_checkers.submit(_run, path): path for path in settings.HEALTH_CHECKS}
    wait(running, timeout=TIMEOUT)
    problems: dict[str, str] = {}
    for future, path in running.items():
        problems |= _outcome(future, path)
    return problems


def _run(path: str) -> dict[str, str]:
    try:
        found: dict[str, str] = import_string(path)()
    finally:
        # The thread's own connection: kept, it would outlive a restart of the database.
        connection.close()
    return found


def _outcome(future: "Future[dict[str, str]]", path: str) -> dict[str, str]:
    if not future.done():
        future.cancel()
        return {path: f"No answer within {TIMEOUT:g} s."}
    error = future.exception()
    if error is not None:
        return {path: f"Failed: {type(error).__name__}."}
    return future.result()
