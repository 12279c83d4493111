"""The operators' door: who knocks, keep what is said, answer. Nothing is processed in a request.

Answers: 200 kept (or kept before), 400 no event, 401 the signature, 404 no such account, 405 not a
POST, 413 over 256 kB. Error bodies are those of the contract: `code` and `reason`.
"""

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from cabinet import clock
from operators import callbacks

MOST_BYTES = 256 * 1024


# The operators' servers have neither our cookies nor our log-in; the signature is the proof.
@csrf_exempt
@login_not_required
def callback(request: HttpRequest, code: str) -> HttpResponse:
    """One signed event of the account with this code."""
    if request.method != "POST":
        return _refusal(405, "methodNotAllowed", "Only POST here.", Allow="POST")
    account = callbacks.account_of(code)
    if account is None:
        return _refusal(404, "noAccount", "No callbacks are expected here.")
    body = _body(request)
    if body is None:
        return _refusal(413, "tooLarge", "An event has at most 256 kB.")
    header = request.headers.get("X-Signature", "")
    try:
        event_id = callbacks.verify(account=account, header=header, body=body, at=clock.real_now())
        envelope = callbacks.read_envelope(event_id=event_id, body=body)
        callbacks.store(account=account, envelope=envelope, at=clock.now())
    except callbacks.Unsigned:
        return _refusal(401, "badSignature", "X-Signature is missing, wrong, or of another time.")
    except callbacks.Malformed as malformed:
        return _refusal(400, "badEvent", str(malformed))
    return JsonResponse({})


def _refusal(status: int, code: str, reason: str, **headers: str) -> JsonResponse:
    return JsonResponse({"code": code, "reason": reason}, status=status, headers=headers)


def _body(request: HttpRequest) -> bytes | None:
    """The body; None where it is longer than we take. A broken one is as good as an empty one."""
    length = request.headers.get("Content-Length") or "0"
    # A number of thousands of digits would refuse to be read; nobody needs its value.
    if length.isdecimal() and int(length[:16]) > MOST_BYTES:
        return None
    try:
        body: bytes = _stream(request).read(MOST_BYTES + 1)
    except OSError:
        return b""
    return body if len(body) <= MOST_BYTES else None


def _stream(request: HttpRequest) -> Any:
    # Django reads nothing without a length; a server that marks the end of a chunked body itself
    # (PEP 3333 extension `wsgi.input_terminated`) can be read to that end.
    chunked = request.META.get("wsgi.input_terminated") and not request.META.get("CONTENT_LENGTH")
    return request.META["wsgi.input"] if chunked else request
