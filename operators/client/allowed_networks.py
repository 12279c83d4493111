"""Which addresses a contract may lead to.

An address of a contract is typed by staff, and our keys are sent there: it must not lead to the servers beside
us. Operators that are reached by VPN stand in private networks, which the setting OPERATOR_NETWORKS lists; in the
sandbox everything is allowed. What a name resolves to is asked for each new connection (`connect`), so a name
that resolves to something else later leads nowhere either.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings

# The servers that give out a cloud machine's own keys. Others stand in networks that are not public anyway
# (169.254.169.254, fd00:ec2::254, 100.100.100.200); this one of Azure has a public address.
_METADATA = frozenset({ip_address("168.63.129.16")})
# Translators that reach an IPv4 address behind the last 32 bits (RFC 6052, 8215).
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class AddressNotAllowed(OSError):
    """A name or a number that leads only to networks that no contract may lead to. Nothing was sent."""


def is_allowed(address: str) -> bool:
    """Whether a contract may lead to this IP address. Raises ValueError for what is none."""
    found = ip_address(address.partition("%")[0])
    if settings.SANDBOX or any(found in network for network in settings.OPERATOR_NETWORKS):
        return True
    return all(_is_public(one) for one in (found, *_inside(found)))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and address not in _METADATA


def _inside(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return
    for inner in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())):
        if inner is not None:
            yield inner
    if any(address in network for network in _NAT64):
        yield IPv4Address(address.packed[-4:])


def leads_inside(host: str, *, resolve: bool) -> bool:
    """Whether nothing that this host stands for is allowed. A name is only asked for with `resolve`; one that
    is not asked for, or that cannot be resolved, does not count. Numbers count in every form that connects.
    """
    flags = 0 if resolve else socket.AI_NUMERICHOST
    if host.rstrip(".").lower() == "localhost":
        return not is_allowed("127.0.0.1")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):
        return False
    return not any(is_allowed(str(one[4][0])) for one in found)


# A host's addresses as `socket.getaddrinfo` gives them.
_Found = list[tuple[Any, ...]]
# Lookups of this process under way at once, those that nobody waits for any more included.
_MOST_LOOKUPS = 16
_lookups = threading.BoundedSemaphore(_MOST_LOOKUPS)


def connect(
    make: type[socket.socket],
    address: tuple[str, int],
    *,
    seconds: float,
    left: Callable[[], float],
    options: Sequence[tuple[Any, ...]],
) -> socket.socket:
    """A connected socket of the class `make`, to the first address of the host that is allowed and answers.

    The address that was looked at is the one that is connected to. `left` gives the seconds that are left for
    the whole call and raises TimeoutError after them. The lookup may take them all; each address gets at most
    `seconds`, and an equal share of them, so that one that never answers leaves time for the next. The socket's
    time limit is then that of what comes next, a TLS handshake as a whole: `seconds` or what is left.

    Raises OSError: `AddressNotAllowed`, `socket.gaierror` (also for a lookup that took too long), TimeoutError
    and others.
    """
    host, port = address
    found = _resolved(host.strip("[]"), port, left)
    allowed = [one for one in found if is_allowed(str(one[4][0]))]
    trouble: OSError = AddressNotAllowed()
    for number, (family, kind, protocol, _, target) in enumerate(allowed):
        share = min(seconds, left() / (len(allowed) - number))
        line = make(family, kind, protocol)
        try:
            for option in options:
                line.setsockopt(*option)
            line.settimeout(share)
            line.connect(target)
            line.settimeout(min(seconds, left()))
        except OSError as why:
            line.close()
            trouble = why
        else:
            return line
    raise trouble


def _resolved(host: str, port: int, left: Callable[[], float]) -> _Found:
    """The addresses of a host. The system's lookup takes no limit of time, so a thread of its own makes it."""
    too_long = socket.gaierror(socket.EAI_AGAIN, "the lookup took too long")
    if not _lookups.acquire(timeout=left()):
        raise too_long
    found: Future[_Found] = Future()
    try:
        # A daemon: a process that ends does not wait for it. Made for each lookup: nothing to lose in a fork.
        threading.Thread(target=_look_up, args=(host, port, found), daemon=True).start()
    except RuntimeError as no_thread:
        _lookups.release()
        raise OSError("no thread for the lookup") from no_thread
    try:
        return found.result(left())
    except TimeoutError as late:
        raise too_long from late


def _look_up(host: str, port: int, found: Future[_Found]) -> None:
    try:
        found.set_result(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except (OSError, ValueError) as why:  # a UnicodeError is a ValueError
        found.set_exception(why)
    finally:
        _lookups.release()
