"""Where a request comes from."""

import ipaddress

from django.http import HttpRequest


def visitor_address(request: HttpRequest) -> str | None:
    """What limits are counted by: the IPv4 address, or the /64 network of an IPv6 one; None if unknown."""
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)
