"""Where a webhook may go. Whoever adds an endpoint makes this installation send: so never into its own network.

An address is looked at twice: when an endpoint is added, for a word in time, and when a connection is made,
because a name may lead elsewhere by then.

>>> reach = Reach()
>>> reach.refuses("169.254.169.254", "live")
'169.254.169.254 is no public address'
>>> reach.refuses("93.184.215.14", "live") is None
True
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

MAX_URL: Final = 500

Network = IPv4Network | IPv6Network
Resolve = Callable[[str], Sequence[str]]
"""The addresses of a host name; raises OSError if it has none."""

_TRANSLATED: Final = (
    ip_network("64:ff9b::/96"),
    ip_network("64:ff9b:1::/48"),
    ip_network("2002::/16"),
)
"""IPv6 that a gateway turns into any IPv4 address, private ones included (RFC 6052, 8215, 3056)."""


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint's address in parts. ``path`` begins with a slash and has the query."""

    scheme: str
    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How far webhooks of this installation reach.

    ``networks`` are those of its own network that may be sent to nevertheless. ``loopback``: whether test
    merchants may have endpoints on this machine, as beside the sandbox.
    """

    networks: tuple[Network, ...] = ()
    loopback: bool = False

    def refuses(self, address: str, mode: str) -> str | None:
        """Why nothing is sent to an IP address for a merchant of this mode; None: it may be."""
        found = ip_address(address.partition("%")[0])
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        if any(found.version == n.version and found in n for n in self.networks):
            return None
        if found.is_loopback and mode == "test" and self.loopback:
            return None
        if any(found.version == n.version and found in n for n in _TRANSLATED):
            return f"{address} is no public address"
        if not found.is_global or found.is_multicast or found.is_reserved:
            return f"{address} is no public address"
        return None


def parse(url: str) -> Target | str:
    """An endpoint's address, or what is wrong with it."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "may hold printable ASCII characters only, a name in its xn-- form"
    if len(url) > MAX_URL:
        return f"may have {MAX_URL} characters at most"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no address; give one as https://shop.example.com/hooks"
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return "is no address; give one as https://shop.example.com/hooks"
    if parts.username is not None or parts.password is not None:
        return "may hold no user or password: requests are known by their signature"
    if parts.fragment:
        return "may hold no fragment (#…): it would not be sent"
    if port == 0:
        return "has no port 0"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(
        parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), path
    )


def vetted(target: Target, mode: str, reach: Reach, resolve: Resolve) -> tuple[str, ...] | str:
    """The IP addresses of ``target`` that may be connected to, or why there are none.

    One that is refused refuses all: a name that leads to this network as well is no receiver's.
    """
    try:
        found = tuple(dict.fromkeys(resolve(target.host)))
    except (OSError, UnicodeError):
        found = ()
    if not found:
        return f"{target.host} has no address"
    for address in found:
        why = reach.refuses(address, mode)
        if why is not None:
            return why if address == target.host else f"{target.host} leads to {address}: {why}"
    if target.scheme == "http" and not (
        mode == "test" and all(ip_address(one.partition("%")[0]).is_loopback for one in found)
    ):
        return "http is not encrypted: use https (http is for a test merchant's own machine alone)"
    return found
