"""A form that was opened for another company or person, or before signing out.

Nothing of it is written; a page says so and keeps what was typed, to be sent once more. Nothing is stored.
"""

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cabinet.models import Member

# Hidden fields: whom the form was opened for; the button that goes back there.
FOR_COMPANY, FOR_PERSON, SWITCH = "for_company", "for_person", "switch_company"
_NOT_TYPED = frozenset({"csrfmiddlewaretoken", SWITCH})


def posted_company(request: HttpRequest) -> int | None:
    """The company that the posted form was opened for: 0 where the number is unreadable, None where it names none."""
    text = request.POST.get(FOR_COMPANY)
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


def typed_fields(request: HttpRequest) -> list[tuple[str, str]]:
    """Names and values of the posted form, to be sent again."""
    fields = ((name, value) for name, values in request.POST.lists() for value in map(str, values))
    return [(name, value) for name, value in fields if name not in _NOT_TYPED]


def other_company(request: HttpRequest, form_of: Member | None) -> HttpResponse:
    """403: the form is of another company than the one that is open.

    `form_of` is the person's membership there; without it the page does not name the company.
    """
    return _page(request, {"form_of": form_of, "state": "company"})


def other_person(request: HttpRequest) -> HttpResponse:
    """403: the form is about the person who was signed in when it was opened."""
    return _page(request, {"state": "person"})


def before_sign_out(request: HttpRequest) -> HttpResponse:
    """403: the session in which the form was opened is over."""
    again = request.user.is_authenticated
    return _page(request, {"state": "signed_in_again" if again else "signed_out"})


def is_ours(request: HttpRequest) -> bool:
    """Whether a page of ours sent this form of a company or person: only then may it be offered to be sent again."""
    names_owner = FOR_COMPANY in request.POST or FOR_PERSON in request.POST
    return names_owner and is_same_origin(request)


def is_same_origin(request: HttpRequest, *, default: bool = False) -> bool:
    """By `Origin`, and where a browser sends none by `Referer`; `default` where it sends neither."""
    sender = request.headers.get("Origin") or request.headers.get("Referer")
    if not sender:
        return default
    parts = urlsplit(sender)
    return (parts.scheme, parts.netloc) == (request.scheme, request.get_host())


def _page(request: HttpRequest, context: dict[str, object]) -> HttpResponse:
    shown = context | {"typed": typed_fields(request), "address": request.get_full_path()}
    return render(request, "cabinet/stale_form.html", shown, status=403)
