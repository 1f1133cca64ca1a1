"""Who may read metrics: this machine, or whoever knows the token. Without any web framework."""

import hmac
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Final

FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")
"""What a proxy on this machine adds: the peer is then the proxy, not who asks."""


def may_scrape(token: str | None, peer: str | None, headers: Mapping[str, str]) -> bool:
    """Whether metrics are shown to who asks from ``peer``; ``headers`` are in lower case.

    With a token, whoever sends it, and nobody else. Without one, only this machine itself.

    >>> may_scrape(None, "127.0.0.1", {}), may_scrape(None, "10.0.0.7", {})
    (True, False)
    >>> may_scrape("s3cret", "127.0.0.1", {}), may_scrape("s3cret", None, {"authorization": "Bearer s3cret"})
    (False, True)
    """
    if token is not None:
        given = headers.get("authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, f"Bearer {token}".encode())
    if peer is None or any(name in headers for name in FORWARDED):
        return False
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
