"""Links in answers: their parts, and the way to follow one without ever leaving the operator's host. Pure."""

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urljoin, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_RELATED = re.compile(r"<([^<>]*)>([^<]*)")


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


def below(base_url: str, link: str) -> str:
    """The path and query of a link of the account's host; "" for any other link.

    A relative link is resolved against the address. The scheme is not looked at: operators behind a
    balancer often write http, and the request goes to the account's address in any case.
    """
    base, found = _split(base_url), _split(link.strip(), f"{base_url.rstrip('/')}/")
    if not link.strip() or base is None or found is None or found.username is not None:
        return ""
    if found.hostname != base.hostname or found.port not in _ports(base, found):
        return ""
    names = [name for name, _ in parse_qsl(found.query, keep_blank_values=True)]
    if len(names) != len(set(names)):
        return ""  # a request has each parameter once: this one could not be asked for as it is
    return f"{found.path or '/'}{'?' if found.query else ''}{found.query}"


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
