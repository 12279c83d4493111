"""The body of a webhook, with a limit that also holds for senders who announce no length."""

from django.http import HttpRequest
from django.http.request import RawPostDataException, UnreadablePostError


class BodyTooLong(Exception):
    """More bytes than the limit; a body that announces so many is not read at all."""


class BodyBroken(Exception):
    """The connection ended before the body did."""


def read_limited(request: HttpRequest, limit: int) -> bytes:
    """At most `limit` bytes. Raises BodyTooLong and BodyBroken."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    # A number of thousands of digits would refuse to be read; nobody needs its value.
    if length.isdecimal() and int(length[:16]) > limit:
        raise BodyTooLong
    # Django reads nothing without a length; a server that marks the end of a chunked body itself
    # (PEP 3333 extension `wsgi.input_terminated`) can be read to that end.
    chunked = request.META.get("wsgi.input_terminated") and not request.META.get("CONTENT_LENGTH")
    source = request.META["wsgi.input"] if chunked else request
    try:
        body: bytes = source.read(limit + 1)
    except (OSError, RawPostDataException, UnreadablePostError) as broken:
        raise BodyBroken from broken
    if len(body) > limit:
        raise BodyTooLong
    return body
