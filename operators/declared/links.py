"""Links in answers: their parts, and the way to follow one without ever leaving the operator's host. Pure."""

import re
from collections.abc import Set
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, unquote_plus, urljoin, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_RELATED = re.compile(r"<([^<>]*)>([^<]*)")
# Shorter values stand in innocent words too.
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class Own:
    """What of a link is ours: every request gets it anew, so no link is kept with it.

    `names` are parameters of the query, `segments` the first ones after the address, the outermost
    first. A link with one of `secrets` anywhere else is not kept at all.
    """

    names: frozenset[str] = frozenset()
    segments: tuple[str, ...] = field(default=(), repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


_NOTHING = Own()


def segment(link: str, index: int) -> str:
    """One segment of a link's path, counted as elements of a list are; "" where there is none."""
    found = _split(link)
    segments = [one for one in found.path.split("/") if one] if found else []
    return unquote(segments[index]) if -len(segments) <= index < len(segments) else ""


def parameter(link: str, name: str) -> str:
    """The value of a parameter of a link's query; "" where there is none."""
    found = _split(link)
    return dict(parse_qsl(found.query)).get(name, "") if found else ""


def related(header: str, relation: str) -> str:
    """The link of a header `Link` whose `rel` has this word; "" without one."""
    for link, facts in _RELATED.findall(header):
        words = re.search(r'\brel\s*=\s*"?([^",;]*)', facts, re.IGNORECASE)
        if words and relation in words[1].lower().split():
            return str(link)
    return ""


def below(base_url: str, link: str, own: Own = _NOTHING) -> str:
    """The path and query of a link of the account's host, without what is `own`; "" for any other link.

    A relative link is resolved against the address. The scheme is not looked at: operators behind a
    balancer often write http, and the request goes to the account's address in any case.
    """
    base, found = _split(base_url), _split(link.strip(), f"{base_url.rstrip('/')}/")
    if not link.strip() or base is None or found is None or found.username is not None:
        return ""
    if found.hostname != base.hostname or found.port not in _ports(base, found):
        return ""
    path = _without_segments(base.path.rstrip("/"), found.path or "/", own.segments)
    query = _without_names(found.query, own.names)
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    if len(names) != len(set(names)):
        return ""  # a request has each parameter once: this one could not be asked for as it is
    kept = f"{path}{'?' if query else ''}{query}"
    return "" if _carries(kept, own.secrets) else kept


def _without_segments(base: str, path: str, segments: tuple[str, ...]) -> str:
    for segment in segments:
        first, _, rest = path.removeprefix(f"{base}/").partition("/")
        if path.startswith(f"{base}/") and unquote(first) == segment:
            path = f"{base}/{rest}"
    return path


def _without_names(query: str, names: Set[str]) -> str:
    """The others stay as they are written."""
    return "&".join(
        pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) not in names
    )


def _carries(link: str, secrets: Set[str]) -> bool:
    said = (link, unquote(link), unquote_plus(link))
    known = (secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
    return any(secret in one for secret in known for one in said)


def followed(base_url: str, link: str) -> tuple[str, dict[str, str]] | None:
    """The address and the query of what `below` gave; None for any other text."""
    base, found = urlsplit(base_url), _split(link)
    if not link.startswith("/") or found is None:
        return None
    path, _, query = link.partition("?")
    return f"{base.scheme}://{base.netloc}{path}", dict(parse_qsl(query, keep_blank_values=True))


def _split(link: str, base: str = "") -> SplitResult | None:
    try:
        found = urlsplit(urljoin(base, link))
        _ = found.port
    except ValueError:
        return None
    return found


def _ports(base: SplitResult, found: SplitResult) -> set[int | None]:
    return {None, base.port or _DEFAULT_PORTS.get(base.scheme), _DEFAULT_PORTS.get(found.scheme)}
