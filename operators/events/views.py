"""The address that takes operators' signed events: verify, store, answer. Nothing is processed in a request.

Answers: 200 stored (or stored before), 400 no event, 401 the signature, 404 no such account, 405 not a
POST, 409 another content under a stored id, 413 over 256 kB. What is refused for its signature, its time or a
conflict is counted for staff. Error bodies are those of the contract: `code` and `reason`.
"""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from cabinet import clock
from cabinet.inbox.request_body import BodyBroken, BodyTooLong, read_limited
from operators.events import inbox, rejections
from operators.models import RejectionReason

MOST_BYTES = 256 * 1024


# The operators' servers have neither our cookies nor our log-in; the signature is the proof.
@csrf_exempt
@login_not_required
def callback(request: HttpRequest, code: str) -> HttpResponse:
    """One signed event of the account with this code."""
    if request.method != "POST":
        return _refusal(405, "methodNotAllowed", "Only POST here.", Allow="POST")
    account = inbox.account_of(code)
    if account is None:
        return _refusal(404, "noAccount", "No callbacks are expected here.")
    header = request.headers.get("X-Signature", "")
    try:
        body = read_limited(request, MOST_BYTES)
        event_id = inbox.verify(account=account, header=header, body=body, at=clock.real_now())
        inbox.store(account=account, event_id=event_id, body=body, at=clock.now())
    except BodyTooLong:
        return _refusal(413, "tooLarge", "An event has at most 256 kB.")
    except BodyBroken:
        return _refusal(400, "badEvent", "The body is not JSON in UTF-8.")
    except inbox.Conflict:
        rejections.note(account, RejectionReason.CONFLICT, at=clock.now())
        return _refusal(409, "conflict", "Another event was stored under this id.")
    except inbox.Unsigned as unsigned:
        too_old = isinstance(unsigned, inbox.OutOfTime)
        reason = RejectionReason.AGE if too_old else RejectionReason.SIGNATURE
        rejections.note(account, reason, at=clock.now())
        return _refusal(401, "badSignature", "X-Signature is missing, wrong, or of another time.")
    except inbox.Malformed as malformed:
        return _refusal(400, "badEvent", str(malformed))
    return JsonResponse({})


def _refusal(status: int, code: str, reason: str, **headers: str) -> JsonResponse:
    return JsonResponse({"code": code, "reason": reason}, status=status, headers=headers)
