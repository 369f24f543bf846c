"""Whether an IP address is a public host's, whatever form an attacker writes or wraps it in.

``ipaddress.is_global`` alone is not enough: it is true of NAT64 and 6to4 addresses that lead to the loopback, and of
multicast. Addresses that carry another one inside (IPv4-mapped, NAT64 RFC 6052, 6to4 RFC 3056, ISATAP RFC 5214) are
judged by both. Teredo and everything outside 2000::/3 is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REFUSED_V4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared address space, where clouds keep their metadata too
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_MAPPED = IPv6Network("::ffff:0:0/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def networks(written: Sequence[str]) -> tuple[Network, ...]:
    """Networks as the settings write them."""
    return tuple(ip_network(each) for each in written)


def is_allowed(address: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether a connection may go to ``address``: it is public, or lies in a network that the operator allows."""
    if "%" in address:  # a zone: only link-local addresses have one
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return all(_is_public(each) or _is_within(each, allowed) for each in _layers(parsed))


def _layers(address: Address) -> Iterator[Address]:
    """The address, or those it stands for."""
    if isinstance(address, IPv4Address):
        yield address
    elif address in _MAPPED or address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    else:
        yield address
        if address.sixtofour is not None:
            yield address.sixtofour
        if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
            yield IPv4Address(int(address) & 0xFFFF_FFFF)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _REFUSED_V4)
    return address.is_global and address in _GLOBAL_UNICAST and address.teredo is None


def _is_within(address: Address, allowed: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in allowed)
