"""What may be kept of a call to an operator: pure text, secrets and personal data masked.

Several nets, one behind the other, because operators answer in any shape they like:

- the connection's own secrets, wherever they stand and however they are written (JSON and XML escapes,
  percent signs, base64);
- headers: only the harmless ones are shown with their values;
- keys of JSON, XML, forms and queries that name a secret or a person;
- numbers: phones, ICCIDs and their like keep their last four digits, however they are written; e-mail
  addresses and tokens go.

Where the useful places of an answer are known, only these are kept of it (`operators.shown`).

Nothing here raises, whatever bytes come.
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from operators.allowed import MASK, Shown, kept
from operators.long_numbers import cut_numbers
from operators.nameless import nameless
from operators.ports import Reply
from operators.private_keys import hides, is_role

__all__ = ["CUT", "KEPT_BYTES", "MASK", "Masker", "charset_of", "cut", "hides", "masker"]

CUT = "… (обрезано)"
KEPT_BYTES = 4096
# How much of a body is looked at: whole JSON may be longer than what is kept of it.
_PARSED_CHARS = 64 * 1024
_READ_CHARS = 16 * 1024
# Shorter values would wipe out innocent words.
_SHORTEST_SECRET = 4

_SHOWN_HEADERS = frozenset(
    {"accept", "allow", "content-language", "content-length", "content-type", "date", "idempotency-key",
     "location", "retry-after", "server", "soapaction", "user-agent", "x-correlation-id", "x-request-id"}
)  # fmt: skip
_CHARSETS = frozenset(
    {"windows-1251", "cp1251", "koi8-r", "iso-8859-5", "utf-16", "utf-8", "cp866"}
)

_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])
_ENCODED = re.compile(r"[%\\&+]")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_LOGIN = re.compile(r"\b(Bearer|Basic|Digest)\s+[\w.~+/=-]{4,}", re.IGNORECASE)
_JWT = re.compile(r"eyJ[\w-]{5,}\.[\w-]*(?:\.[\w-]*)?")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_TAG = re.compile(r"<([\w:.-]+)((?:\s[^<>]*)?)>")
_ATTRIBUTE = re.compile(r"([\w:.-]+)(\s*=\s*)(\"[^\"]*\"|'[^']*')")
_XML_PAIR = re.compile(
    r"(<(?:[\w.-]+:)?(?:name|key|code)\b[^<>]*>\s*)([^<>]*)(</[^<>]+>\s*<(?:[\w.-]+:)?value\b[^<>]*>)[^<]*"
)
_KEY = re.compile(r"(?<![\w.-])([\w.-]{1,128})\\*[\"']?\s*[:=]\s*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"?|\'[^\']*\'?', re.DOTALL)
_FORM = re.compile(r"[\w.%+\[\]-]+=[^\s<>{}\"]*")


@dataclass(frozen=True)
class Masker:
    """Masks what one connection says and hears. Values under four characters are not looked for.

    With `shown` an answer is kept at those places only, see `operators.allowed`.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    shown: Shown | None = None

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        body: Any = None,
        form: Mapping[str, str] | bytes | None = None,
    ) -> str:
        """First line, headers and body as they may be kept; `body` is what goes as JSON, `form` may be a
        ready body of another kind (SOAP).
        """
        shown = [*self._headers(headers or {}), *([f"Authorization: {MASK}"] if auth else [])]
        said = ""
        if isinstance(form, bytes):
            said = self.body(form.decode("utf-8", "replace"))
        elif form is not None:
            said = self._fields(form.items())
        elif body is not None:
            said = self._json(body)
        return self._whole(f"{method} {self.address(url)}", shown, said)

    def reply(self, reply: Reply) -> str:
        """Status, headers and body as they may be kept."""
        content_type = str(reply.headers.get("Content-Type", ""))
        text = _decoded(reply.body, content_type)
        said = self.body(text) if self.shown is None else self._at_places(text, self.shown)
        return self._whole(f"HTTP {reply.status}", self._headers(reply.headers), said)

    def _at_places(self, text: str, shown: Shown) -> str:
        return kept(text.translate(_CONTROLS), shown, self.value, self._sentence)

    def _sentence(self, given: Any) -> Any:
        """What somebody wrote for people: without those whom it is about."""
        return nameless(str(self.value(given)))

    def address(self, url: str) -> str:
        """The address with values of its query masked by name and by look."""
        try:
            parts = urlsplit(url)
            host = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        except ValueError:
            return MASK
        query = self._fields(parse_qsl(parts.query, keep_blank_values=True))
        return self.words(f"{host}{parts.path}{'?' if query else ''}{query}")

    def body(self, text: str) -> str:
        """A body of any shape."""
        clean = self._known(text[:_PARSED_CHARS].translate(_CONTROLS))
        is_whole = len(text) <= _PARSED_CHARS
        return self._shape(clean) if is_whole else self._torn(self._without_tail(clean)) + CUT

    def words(self, text: str) -> str:
        """Plain words: our secrets, tokens, e-mail addresses and numbers."""
        text = self._known(text)
        text = _JWT.sub(MASK, _LOGIN.sub(rf"\1 {MASK}", text))
        if "@" in text:
            text = _EMAIL.sub(MASK, text)
        return cut_numbers(text)

    # --- shapes -------------------------------------------------------------------------------

    def _shape(self, text: str) -> str:
        bare = text.strip()
        if bare[:1] in {"{", "[", '"'}:
            try:
                return self._json(json.loads(bare))
            except (ValueError, RecursionError):
                return self._torn(text)
        if len(text) > _READ_CHARS:
            return self._torn(text)
        if bare.startswith("<"):
            return self._xml(text)
        if _FORM.fullmatch(bare):
            return self._fields(parse_qsl(bare, keep_blank_values=True))
        return self._pairs(text)

    def _torn(self, text: str) -> str:
        """What is no whole document: looked through as text."""
        looked = text[:_READ_CHARS]
        shown = self._xml(looked) if looked.lstrip().startswith("<") else self._pairs(looked)
        return shown if len(text) <= _READ_CHARS else self._without_tail(shown) + CUT

    def _without_tail(self, text: str) -> str:
        """A cut may have torn a secret or a number apart: its half would not be known any more."""
        longest = max(map(len, self.secrets), default=0)
        return text[: -max(1000, 12 * longest)]

    def _json(self, body: Any) -> str:
        try:
            shown = self.value(body)
            return json.dumps(shown, ensure_ascii=False, default=lambda _given: MASK)
        except (RecursionError, ValueError):
            return MASK

    def value(self, given: Any) -> Any:
        """Decoded JSON in its own shape. Raises RecursionError for what is too deep."""
        if isinstance(given, Mapping):
            return self._object(given)
        if isinstance(given, list | tuple):
            return [self.value(item) for item in given]
        if isinstance(given, str):
            nested = given.lstrip()[:1] in {"{", "[", "<"}
            return self._shape(self._known(given)) if nested else self._pairs(given)
        if isinstance(given, int | float) and not isinstance(given, bool):
            shown = self.words(str(given))
            return given if shown == str(given) else shown
        return given

    def _object(self, given: Mapping[Any, Any]) -> dict[str, Any]:
        """A pair of `name` and `value` is one fact: its name is no person's."""
        namer = next((key for key in _NAMES if key in given and "value" in given), None)
        hidden = hides(str(given.get(namer)))
        return {
            self.words(str(key)): _masked(value)
            if (key != namer and _hides_whole(str(key), value)) or (key == "value" and hidden)
            else self.value(value)
            for key, value in given.items()
        }

    def _fields(self, pairs: Iterable[tuple[str, str]]) -> str:
        """A form or a query, decoded for people."""
        return "&".join(
            f"{self.words(name)}={MASK if hides(name) and value else self.value(value)}"
            for name, value in pairs
        )

    def _xml(self, text: str) -> str:
        """Markup as text: no parser, so that nothing in it can harm."""
        # A document inside a document stands there escaped.
        text = _XML_PAIR.sub(_masked_pair, self._known(html.unescape(text)))
        parts, position = [], 0
        for tag in _TAG.finditer(text):
            if tag.start() < position:
                continue
            parts += [text[position : tag.start()], f"<{tag[1]}{_attributes(tag[2])}>"]
            position = tag.end()
            if _tag_hides(tag) and not tag[2].endswith("/"):
                close = text.find(f"</{tag[1]}", position)
                end = len(text) if close < 0 else close
                if is_role(tag[1]) and "<" in text[position:end]:
                    continue
                position = end
                parts.append(MASK)
        return self.words("".join([*parts, text[position:]]))

    def _pairs(self, text: str) -> str:
        """Words with something like `key: value` or `"key": "value"` in them."""
        if ":" not in text and "=" not in text:
            return self.words(text)
        parts, position = [], 0
        for key in _KEY.finditer(text):
            if key.start() < position or not hides(key[1]):
                continue
            if is_role(key[1]) and text[key.end() : key.end() + 1] in {"{", "["}:
                continue
            parts += [text[position : key.end()], MASK]
            position = _value_end(text, key.end())
        return self.words("".join([*parts, text[position:]]))

    def _headers(self, headers: Mapping[str, str]) -> list[str]:
        return [
            f"{name}: {self._pairs(str(value)) if name.lower() in _SHOWN_HEADERS else MASK}"
            for name, value in headers.items()
        ]

    def _whole(self, first: str, headers: list[str], body: str) -> str:
        text = "\n".join([first, *headers, *(["", body] if body else [])])
        return cut(self._sure(text.translate(_CONTROLS)[: 2 * KEPT_BYTES]))

    # --- our own secrets ------------------------------------------------------------------------

    def _known(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        if not self.secrets:
            return text
        if _ENCODED.search(text):
            text = _in_any_writing(self.secrets).sub(MASK, text)
        if not self._is_wrapped(text):
            return text
        return _BASE64.sub(lambda run: MASK if self._is_wrapped(run[0]) else run[0], text)

    def _is_wrapped(self, text: str) -> bool:
        """Whether base64 of something with a secret in it stands there, also glued to other letters."""
        cores = _in_base64(self.secrets)
        if not cores or len(text) < len(cores[-1]):
            return False
        return any(core in text.replace("-", "+").replace("_", "/") for core in cores)

    def _sure(self, text: str) -> str:
        """The last look: what masking has put together is masked again, or nothing is kept."""
        for _ in range(3):
            text = self._known(text)
            if not any(secret in text for secret in self.secrets):
                return text
        return MASK


def masker(values: Iterable[object], shown: Shown | None = None) -> Masker:
    """For a connection with these credentials; `shown` as `Masker` keeps it."""
    given = (
        str(value).encode("utf-8", "replace").decode() for value in values if value is not None
    )
    texts = {text.translate(_CONTROLS) for text in given}
    known = texts | {text.strip() for text in texts}
    long = [text for text in known if len(text) >= _SHORTEST_SECRET and text.strip()]
    return Masker(tuple(sorted(long, key=lambda text: (-len(text), text))), shown)


def cut(text: str) -> str:
    """At most four kilobytes of it, with a mark where there was more; safe for the database."""
    whole = text.encode("utf-8", "replace")
    if len(whole) <= KEPT_BYTES:
        return whole.decode()
    return whole[: KEPT_BYTES - len(CUT.encode())].decode("utf-8", "ignore") + CUT


_NAMES = ("name", "key", "code")


def charset_of(content_type: str) -> str:
    """The charset that a header declares, UTF-8 where it names none that operators use."""
    named = re.search(r"charset=\s*[\"']?([\w-]+)", content_type, re.IGNORECASE)
    charset = named[1].lower() if named else "utf-8"
    return charset if charset in _CHARSETS else "utf-8"


def _decoded(body: bytes, content_type: str) -> str:
    # A few more than are read: an endless body is not decoded whole.
    return body[: 4 * _PARSED_CHARS + 4].decode(charset_of(content_type), "replace")


def _hides_whole(key: str, value: Any) -> bool:
    """An object about somebody may hold the card's state too: its own names decide."""
    rows = value if isinstance(value, list) else [value]
    is_open = bool(rows) and all(isinstance(row, Mapping) for row in rows)
    return hides(key) and not (is_role(key) and is_open)


def _masked(value: Any) -> Any:
    """Emptiness is told, for it often is the trouble; anything else is hidden whole."""
    return value if value in (None, "", [], {}) else MASK


def _masked_pair(pair: re.Match[str]) -> str:
    return f"{pair[1]}{pair[2]}{pair[3]}{MASK}" if hides(pair[2]) else pair[0]


def _tag_hides(tag: re.Match[str]) -> bool:
    values = (found[3][1:-1] for found in _ATTRIBUTE.finditer(tag[2]) if found[1] in _NAMES)
    return hides(tag[1]) or any(hides(value) for value in values)


def _attributes(text: str) -> str:
    named = {found[1]: found[3][1:-1] for found in _ATTRIBUTE.finditer(text)}
    pair = any(hides(named[key]) for key in _NAMES if key in named)

    def masked(found: re.Match[str]) -> str:
        kept = found[1] in _NAMES and (pair or "value" in named)
        secret = (hides(found[1]) and not kept) or (pair and found[1] == "value")
        return f'{found[1]}{found[2]}"{MASK}"' if secret else found[0]

    return _ATTRIBUTE.sub(masked, text)


def _value_end(text: str, start: int) -> int:
    """Where a value ends: its closing quote, the end of the line, or of everything for a structure."""
    if text[start : start + 1] in {"{", "["}:
        return len(text)
    if quoted := _QUOTED.match(text, start):
        return quoted.end()
    if escaped := re.compile(r"\\+[\"']").match(text, start):
        end = text.find(escaped[0], escaped.end())
        return len(text) if end < 0 else end
    plain = re.compile(r"[^,;&}\]\n]*").match(text, start)
    return plain.end() if plain else start


@lru_cache(maxsize=64)
def _in_base64(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """What each secret looks like inside base64: three ways, for three bytes make four letters. The
    longest first.

    Letters that hold bits of the neighbours too are left out.
    """
    written = {
        base64.b64encode(bytes(before) + given + bytes(2))[
            -(-before * 4 // 3) : (before + len(given)) * 4 // 3
        ].decode()
        for given in (secret.encode() for secret in secrets)
        for before in range(3)
    }
    return tuple(sorted(written, key=len, reverse=True))


@lru_cache(maxsize=64)
def _in_any_writing(secrets: tuple[str, ...]) -> re.Pattern[str]:
    """The secrets with each character plain or escaped as JSON, XML or an address would have it."""
    return re.compile("|".join("".join(map(_writings, secret)) for secret in secrets))


@lru_cache(maxsize=1024)
def _writings(char: str) -> str:
    code = ord(char)
    utf16 = char.encode("utf-16-be", "surrogatepass").hex()
    units = [utf16[start : start + 4] for start in range(0, len(utf16), 4)]
    # A doubled backslash only: optional ones in a row could be matched in too many ways.
    plain = r"\\\\" if char == "\\" else r"\\{0,4}" + re.escape(char)
    ways = [
        plain,
        "(?i:" + "".join(rf"\\{{1,4}}u{unit}" for unit in units) + ")",
        "(?i:" + "".join(f"%(?:25)*{byte:02x}" for byte in char.encode("utf-8", "replace")) + ")",
        f"&(?:amp;)?#0*{code};",
        f"(?i:&(?:amp;)?#x0*{code:x};)",
    ]
    ways += [r"\\{1,4}" + _SHORT[char]] if char in _SHORT else []
    ways += [rf"&(?:amp;)?{name};" for name in _ENTITIES.get(char, ())]
    return "(?:" + "|".join([*ways, *([r"\+"] if char == " " else [])]) + ")"


_SHORT = {"\n": "n", "\t": "t"}
_ENTITIES = {"&": ("amp",), "<": ("lt",), ">": ("gt",), '"': ("quot",), "'": ("apos",)}
