"""What the log may keep of a call to an operator. There is one allow-list.

Of an answer stay its status, the headers known to be harmless and the values at the fields which the
adapter's mapping reads; every other value is «•••». Names of fields stay, so that staff see where an
operator put what; so do empty values, `true` and `false`. Of a login no body stays, of the request neither
of the answer. Our own requests stay, without the secrets.

In whatever stays, the secrets of the account and its access tokens are masked (plain, escaped, URL-encoded
or in base64), e-mail addresses and full names too, and numbers of ten digits and more keep their last four.
An operator's sentence at a field that is read may still name somebody: this is a known limit, and one
more reason to let only staff read the log.

Nothing here raises for what an operator sends, except `RecursionError` of `kept_fields`.
"""

import base64
import html
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from json import dumps, loads
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from operators.ports import Reply

MASK = "•••"
CUT = "… (обрезано)"
KEPT_BYTES = 4096
LOGIN_BODY = "Тело запроса на вход не сохраняется."
# Shorter values would mask innocent text.
_SHORTEST_SECRET = 4
# More of one value is not looked at: it would be cut away anyway.
_LONGEST_VALUE = 4 * KEPT_BYTES
# A number or an address at the end of a shortened value may be torn, and not be found any more.
_TORN = 200
_LONGEST_PLAIN_TEXT = 300
_MOST_ROWS = 50

_HARMLESS_HEADERS = frozenset(
    {"accept", "allow", "content-language", "content-length", "content-type", "date", "idempotency-key",
     "location", "retry-after", "server", "soapaction", "user-agent", "x-correlation-id", "x-request-id"}
)  # fmt: skip
_CHARSETS = frozenset(
    {"windows-1251", "cp1251", "koi8-r", "iso-8859-5", "utf-16", "utf-8", "cp866"}
)
_CHARSET = re.compile(r"charset=\s*[\"']?([\w-]+)", re.IGNORECASE)
# What a page or an XML document says of itself, where the header says nothing.
_DECLARED = re.compile(rb"<[^>]*\b(?:charset|encoding)=\s*[\"']?([\w-]+)", re.IGNORECASE)
# PostgreSQL takes no NUL, and a secret may be torn apart by the others.
_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])
# A page of a gateway or of a login, and what of it no reader sees.
_HTML = re.compile(r"\s*<(!doctype\s+)?html\b", re.IGNORECASE)
_TAGS = re.compile(
    r"<(script|style|head|title)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)|<[^>]*(?:>|$)",
    re.IGNORECASE | re.DOTALL,
)
# A declaration in XML may define entities; no operator needs one.
_XML_DECLARATION = re.compile(r"<!(?!--|\[CDATA\[)")


# --- the allow-list --------------------------------------------------------------------------------

# Any field: for objects whose names are cards' numbers, or elements named after the operation.
ANY = "*"


@dataclass(frozen=True)
class Match:
    """A step that goes on only where the object's field `name` is `value`, in any case of letters."""

    name: str
    value: str


# The names from the top of an answer to a value; lists add nothing. `()` is an answer of plain text.
FieldPath = tuple[str | Match, ...]


@dataclass(frozen=True)
class FieldAllowlist:
    """The fields of one protocol's answers whose values may be kept. With `xml` answers are XML, and a path
    begins with the outermost element; namespaces are not part of the names.
    """

    fields: frozenset[FieldPath] = frozenset()
    xml: bool = False


NOTHING = FieldAllowlist()
# Makes a text fit to be seen.
Show = Callable[[str], str]


def allowlist_of(
    adapter_code: str, adapter: type, profile: Mapping[str, Any] | None
) -> FieldAllowlist:
    """The fields which this adapter reads; those of a described operator follow from its `profile`.

    Nothing is kept of the answers of an adapter that names no fields. Raises
    `operators.declarative.validation.InvalidProfile` for a description with mistakes.
    """
    if not hasattr(adapter, "answer_fields_of"):
        return _ALLOWED.get(adapter_code, NOTHING)
    return _described(adapter, dumps(profile)) if profile else NOTHING


@lru_cache(maxsize=64)
def _described(adapter: Any, profile: str) -> FieldAllowlist:
    """Cached, because it is asked before every call and a description takes long to read."""
    return FieldAllowlist(adapter.answer_fields_of(loads(profile)))


def _at(before: FieldPath, *names: str) -> set[FieldPath]:
    return {(*before, name) for name in names}


_PERIOD = ("startDateTime", "endDateTime")
_PARTY = ("relatedParty",)
_PARTY_FACT = (*_PARTY, "characteristic")
_MTS_ERROR = ("errorCode", "code", "errorMessage", "message", "description", "error_description")
_MTS = FieldAllowlist(
    frozenset(
        _at((), "eventID", "eventTime", "externalID", "status", "name")
        | _at((), *_MTS_ERROR)
        | _at(("fault",), *_MTS_ERROR)
        | _at(("error",), *_MTS_ERROR)
        | _at(_PARTY, "id", "type", "status")
        | _at(_PARTY_FACT, "name")
        | _at((*_PARTY_FACT, Match("name", "msisdn")), "value")
        | _at((*_PARTY_FACT, Match("name", "foris_error_code")), "value")
        | _at((*_PARTY, "validFor"), *_PERIOD)
        | _at(("validFor",), *_PERIOD)
        | _at(("productSpecification", "productSpecificationType"), "name")
        # «EJB Exception …»: how the gateway says that it is under maintenance.
        | {()}
    )
)

_SOAP = ("Envelope", "Body")
_FAULT = (*_SOAP, "Fault")
_FAULT_DETAIL = ("errorCode", "errorDescription")
_REQUESTS = (*_SOAP, ANY, "requestList", "requests")
_BEELINE = FieldAllowlist(
    frozenset(
        _at((*_SOAP, ANY), "return")
        | _at((*_SOAP, ANY, "CTNInfoList"), "ctn", "status", "statusDate", "reasonStatus")
        | _at(_REQUESTS, "requestId", "ctn", "requestStatus", "requestDate", "requestComments")
        | _at(_FAULT, "faultcode", "faultstring")
        | _at((*_FAULT, "detail"), *_FAULT_DETAIL)
        | _at((*_FAULT, "detail", ANY), *_FAULT_DETAIL)
    ),
    xml=True,
)

_DEVICE = ("iccid", "msisdn", "imei", "status", "dateActivated", "dateAdded", "dateUpdated")
_CONTROL_CENTER = FieldAllowlist(
    frozenset(
        _at((), *_DEVICE, "errorCode", "errorMessage", "pageNumber", "totalCount")
        | _at(("devices",), *_DEVICE)
    )
)

_TMF_ERROR = ("code", "reason", "message")
_TMF_MONITOR = ("response",)
_TMF640 = FieldAllowlist(
    frozenset(
        _at((), "id", "state", "msisdn", "imei", "serviceDate", "startDate", "endDate", "status")
        | _at((), *_TMF_ERROR)
        | _at(("supportingResource",), "id", "iccid")
        | _at(_TMF_MONITOR, "statusCode")
        | _at((*_TMF_MONITOR, "body"), *_TMF_ERROR)
    )
)

_ALLOWED = {
    "mts": _MTS,
    "beeline": _BEELINE,
    "control_center": _CONTROL_CENTER,
    "tmf640": _TMF640,
}

_EVENT_SERVICE, _EVENT_MONITOR = ("event", "service"), ("event", "monitor")
# A partner's signed event: whatever `operators.events.event_mapping.read_event` reads of it.
EVENT = FieldAllowlist(
    frozenset(
        _at((), "eventId", "eventTime", "eventType", "correlationId")
        | _at(_EVENT_SERVICE, "id", "state", "reason")
        | _at((*_EVENT_SERVICE, "supportingResource"), "id", "iccid")
        | _at(_EVENT_MONITOR, "id", "state")
        | _at((*_EVENT_MONITOR, "response"), "statusCode")
        | _at((*_EVENT_MONITOR, "response", "body"), *_TMF_ERROR)
    )
)


# --- what is masked in whatever stays --------------------------------------------------------------

# Ids of requests, instants, days and addresses of machines are left as they are; other runs of ten digits
# and more are cut, however they are laid out.
_NUMBER = re.compile(
    r"(?P<kept>(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f])"
    r"|(?<!\d)\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
    r"|(?<![\d.])(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.(?:19|20)\d\d(?!\d)"
    r"|(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]))"
    r"|\d(?:[ \u00a0\u2009\u202f().\u2010-\u2014-]{0,4}\d){9,}"
)
_EMAIL_OR_JWT = re.compile(
    r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}|eyJ[\w-]{5,}\.[\w-]*(?:\.[\w-]*)?"
)
# «Иванов Иван Иванович», «Петрова-Водкина А. И.».
_FULL_NAME = re.compile(
    r"\b[А-ЯЁ][а-яё]+(?:-[А-ЯЁ][а-яё]+)?(?:\s{1,3}(?:[А-ЯЁ][а-яё]+(?:-[А-ЯЁ][а-яё]+)?|[А-ЯЁ]\.))+"
)


def redacted(text: str) -> str:
    """An operator's text as staff may see it: without e-mail addresses, tokens and full names, and with
    the last four digits only of numbers of ten digits and more.
    """
    shown = _FULL_NAME.sub(MASK, _EMAIL_OR_JWT.sub(MASK, text))
    return _NUMBER.sub(
        lambda found: found["kept"] or f"…{re.sub(r'[^0-9]', '', found[0])[-4:]}", shown
    )


_BASE64 = "[A-Za-z0-9+/_-]"


@lru_cache(maxsize=64)
def _patterns(secrets: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Each secret as it is, as JSON and XML escape it, and percent-encoded; then runs of base64 that hold one."""
    plain = {
        spelled
        for secret in secrets
        for spelled in (
            secret,
            dumps(secret)[1:-1],
            dumps(secret, ensure_ascii=False)[1:-1],
            escape(secret),
            html.escape(secret),
        )
    }
    encoded = {
        spelled
        for secret in secrets
        for spelled in (quote(secret), quote(secret, safe=""), quote_plus(secret))
    }
    spellings = [re.escape(one) for one in sorted(plain, key=len, reverse=True)]
    spellings += [f"(?i:{re.escape(one)})" for one in sorted(encoded, key=len, reverse=True)]
    cores = "|".join(sorted(_in_base64(secrets)))
    run = rf"(?<!{_BASE64})(?={_BASE64}{{8}}){_BASE64}*(?:{cores}){_BASE64}*"
    return re.compile("|".join(spellings)), re.compile(run)


def _in_base64(secrets: tuple[str, ...]) -> set[str]:
    """What each secret looks like inside base64, at each of the three offsets, without the letters that
    hold bits of its neighbours; as patterns for both alphabets (RFC 4648, 4 and 5).
    """
    written = {
        base64.b64encode(bytes(before) + given + bytes(2))[
            -(-before * 4 // 3) : (before + len(given)) * 4 // 3
        ].decode()
        for given in (secret.encode() for secret in secrets)
        for before in range(3)
    }
    return {one.replace("+", "[+-]").replace("/", "[/_]") for one in written}


# --- one connection --------------------------------------------------------------------------------


class Redactor:
    """Makes the log's text of what one connection sends and receives.

    `secrets` are the values of its credentials; values under four characters are not looked for.
    """

    def __init__(self, secrets: Iterable[object] = (), allowed: FieldAllowlist = NOTHING) -> None:
        self._secrets: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._allowed = allowed
        self.learn(secrets)

    def learn(self, secrets: Iterable[object]) -> None:
        """Mask these values too from now on."""
        given = (
            str(one).encode("utf-8", "replace").decode().translate(_CONTROLS)
            for one in secrets
            if one is not None
        )
        found = {spelled for text in given for spelled in (text, text.strip())}
        long = {one for one in found if len(one) >= _SHORTEST_SECRET and one.strip()}
        with self._lock:
            known = {*self._secrets, *long}
            self._secrets = tuple(sorted(known, key=lambda one: (-len(one), one)))

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, str] | bytes | None = None,
        is_login: bool = False,
    ) -> str:
        """First line, headers and body as the log keeps them, at most 4 kB; see `ports.Http`."""
        try:
            if is_login and (json is not None or data):
                text = LOGIN_BODY
            elif isinstance(data, bytes):
                text = self.text(data.decode("utf-8", "replace"))
            elif data is not None:
                text = self.text("&".join(f"{name}={value}" for name, value in data.items()))
            elif json is not None:
                text = self.text(dumps(json, ensure_ascii=False, default=lambda _given: MASK))
            else:
                text = ""
        except (RecursionError, ValueError):
            text = MASK
        shown = [*(headers or {}).items(), *([("Authorization", MASK)] if auth else [])]
        return self._whole(f"{method} {self.address(url, is_login=is_login)}", shown, text)

    def reply(self, reply: Reply) -> str:
        """Status, headers and body as the log keeps them, at most 4 kB."""
        text = _decoded(reply).translate(_CONTROLS).lstrip("\ufeff").strip()
        try:
            if not text:
                shown = ""
            elif _HTML.match(text):
                shown = self._unreadable(text, is_shown=True)
            elif self._allowed.xml:
                shown = _kept_xml(text, self._allowed.fields, self.text)
            else:
                kept = _kept(loads(text), self._allowed.fields, self.text, _MOST_ROWS)
                shown = dumps(kept, ensure_ascii=False)
        except (ValueError, RecursionError, ElementTree.ParseError):
            shown = self._unreadable(text, is_shown=reply.status >= 300)
        return self._whole(f"HTTP {reply.status}", reply.headers.items(), shown)

    def address(self, url: str, *, is_login: bool = False) -> str:
        """The URL without user and password and, for a login, without the values of its query."""
        try:
            parts = urlsplit(url)
            host = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        except ValueError:
            return MASK
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = "&".join(f"{name}={MASK if is_login else value}" for name, value in pairs)
        return self.text(f"{host}{parts.path}{'?' if query else ''}{query}")

    def text(self, text: str) -> str:
        """A text without our secrets, and as `redacted`."""
        known = self._without_secrets(text.translate(_CONTROLS))
        shown = redacted(known[:_LONGEST_VALUE])
        return shown if len(known) <= _LONGEST_VALUE else shown[:-_TORN]

    def _unreadable(self, text: str, *, is_shown: bool) -> str:
        """How long it is; of a page, of a refusal and of a plain text that is read also what it says, masked.

        Broken data may hold anything, so nothing is shown of what begins as JSON or XML.
        """
        kind = "XML" if self._allowed.xml else "JSON"
        is_plain = text[0] not in '{[<"'
        is_read = () in self._allowed.fields and is_plain and len(text) <= _LONGEST_PLAIN_TEXT
        said = ""
        if is_read or (is_shown and (is_plain or _HTML.match(text))):
            visible = " ".join(html.unescape(_TAGS.sub(" ", text[:_LONGEST_VALUE])).split())
            said = self.text(visible)
        cut = f"{said[:_LONGEST_PLAIN_TEXT]}…" if len(said) > _LONGEST_PLAIN_TEXT else said
        shown = f", текст «{cut}»" if cut else ""
        return f"{MASK} не {kind}, знаков: {len(text)}{shown}"

    def _whole(self, first: str, headers: Iterable[tuple[str, str]], body: str) -> str:
        """The parts as one text. Where masking has put a secret together it is masked again."""
        shown = [
            f"{name}: {self.text(str(value)) if name.lower() in _HARMLESS_HEADERS else MASK}"
            for name, value in headers
        ]
        text = "\n".join([first, *shown, *(["", body] if body else [])])[: 2 * KEPT_BYTES]
        for _ in range(3):
            text = self._without_secrets(text)
            if any(secret in text for secret in self._secrets):
                continue
            # Safe for the database, and with a mark where there was more.
            whole = text.encode("utf-8", "replace")
            if len(whole) <= KEPT_BYTES:
                return whole.decode()
            return whole[: KEPT_BYTES - len(CUT.encode())].decode("utf-8", "ignore") + CUT
        return MASK

    def _without_secrets(self, text: str) -> str:
        if self._secrets:
            for pattern in _patterns(self._secrets):
                text = pattern.sub(MASK, text)
        return text


def _decoded(reply: Reply) -> str:
    """The body in the encoding that its header names, or it itself; in UTF-8 without either."""
    named = _CHARSET.search(str(reply.headers.get("Content-Type", "")))
    declared = None if named else _DECLARED.search(reply.body[:1024])
    charset = named[1] if named else declared[1].decode() if declared else ""
    known = charset.lower() if charset.lower() in _CHARSETS else "utf-8"
    return reply.body.decode(known, "replace")


# --- answers -----------------------------------------------------------------------


def kept_fields(document: Any, allowed: FieldAllowlist) -> Any:
    """Decoded JSON of the same shape with every value masked but those at the fields of `allowed`.

    Raises RecursionError for what is too deep.
    """
    return _kept(document, allowed.fields, redacted, None)


def _kept(given: Any, fields: Iterable[FieldPath], show: Show, most_rows: int | None) -> Any:
    """`fields` are paths from here."""
    if isinstance(given, Mapping):
        return {
            show(str(name)): _kept(value, _below(fields, str(name), given), show, most_rows)
            for name, value in given.items()
        }
    if isinstance(given, list):
        rows = [_kept(row, fields, show, most_rows) for row in given[:most_rows]]
        more = len(given) - len(rows)
        return [*rows, f"… ещё {more}"] if more else rows
    if given is None or given == "" or isinstance(given, bool):
        return given
    if isinstance(given, str) and given.lstrip()[:1] in {"{", "["}:
        return _kept_inside(given, fields, show, most_rows)
    if () not in fields:
        return MASK
    shown = show(str(given))
    return given if shown == str(given) else shown


def _kept_inside(text: str, fields: Iterable[FieldPath], show: Show, most_rows: int | None) -> str:
    """A text that is JSON itself."""
    try:
        inside = loads(text)
    except ValueError:
        return MASK
    return dumps(_kept(inside, fields, show, most_rows), ensure_ascii=False)


def _below(
    fields: Iterable[FieldPath], name: str, siblings: Mapping[str, Any] | None = None
) -> list[FieldPath]:
    """What is left of the paths behind the field `name` of an object whose fields are `siblings`."""
    below = []
    for path in fields:
        if path and isinstance(condition := path[0], Match):
            value = str((siblings or {}).get(condition.name, ""))
            if value.casefold() != condition.value.casefold():
                continue
            path = path[1:]  # noqa: PLW2901 - the condition is met
        if path and path[0] in (name, ANY):
            below.append(path[1:])
    return below


def _kept_xml(text: str, fields: Iterable[FieldPath], show: Show) -> str:
    """Raises ValueError for a declaration, ParseError for no XML."""
    if _XML_DECLARATION.search(text):
        raise ValueError("a declaration")
    root = ElementTree.fromstring(text)  # noqa: S314 - nothing is declared
    return _kept_element(root, fields, show)


def _kept_element(element: ElementTree.Element, above: Iterable[FieldPath], show: Show) -> str:
    name = element.tag.rpartition("}")[2]
    fields = _below(above, name)
    tag = show(name)
    attributes = "".join(f' {show(key.rpartition("}")[2])}="{MASK}"' for key in element.attrib)
    rows = [_kept_element(child, fields, show) for child in element[:_MOST_ROWS]]
    more = len(element) - len(rows)
    given = (element.text or "").strip()
    text = escape(str(_kept(given, fields, show, _MOST_ROWS)))
    return f"<{tag}{attributes}>{text}{''.join(rows)}{f'… ещё {more}' if more else ''}</{tag}>"
