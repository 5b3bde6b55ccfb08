"""Which IP addresses Weir connects to: public ones, and those of hosts that a setting opens.

Judged are the addresses that the resolver returned, never their spelling: `http://2130706433/`, `http://0x7f.1/` and a
name under an attacker's domain all come here as 127.0.0.1.
"""

from __future__ import annotations

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# Where clouds answer with credentials or machine configuration. Never opened by a setting.
_METADATA = _networks(
    "169.254.169.254/32",  # AWS, Google Cloud, Azure, DigitalOcean, Oracle …
    "169.254.170.2/32",  # AWS ECS task credentials
    "fd00:ec2::/32",  # AWS over IPv6, its resolver and clock included
    "fd20:ce::254/128",  # Google Cloud over IPv6
    "100.100.100.200/32",  # Alibaba Cloud
    "168.63.129.16/32",  # Azure's wire server: a public address, answered by the host
    "192.0.0.192/32",  # Oracle Cloud at Customer
)
# IPv6 ranges that carry an IPv4 address by which a gateway may reach inside. Translated NAT64 (64:ff9b::/96) is how
# IPv6-only networks reach the public IPv4 world, so there the carried address is judged; these are refused outright.
_TUNNELS = _networks(
    "2002::/16",  # 6to4
    "2001::/32",  # Teredo
    "64:ff9b:1::/48",  # NAT64 with a local prefix
    "::/96",  # IPv4-compatible
    "::ffff:0:0:0/96",  # IPv4-translated (SIIT)
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Not global, whatever this Python's table says of them.
_SPECIAL = _networks(
    "0.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",  # 6to4 relays
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "100::/64",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fec0::/10",  # site-local, withdrawn and still routed in places
)
_OPENABLE = _networks(
    "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"
)


def _inside(address: IPAddress, networks: tuple[_Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def objection(address: IPAddress, *, opened: bool = False) -> str | None:
    """Why `address` may not be connected to, as a noun phrase ("a loopback address"); None where it may.

    `opened` is for a host that WEBHOOK_ALLOWED_HOSTS names: it may be private, loopback or carrier-grade NAT, and
    still no metadata service, link-local, multicast, unspecified or reserved address.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "an address of one network interface"
        if address.ipv4_mapped is not None:
            return objection(address.ipv4_mapped, opened=opened)
        if address in _NAT64:
            return objection(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF), opened=opened)
    if _inside(address, _METADATA):
        return "a cloud metadata address"
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_link_local:
        return "a link-local address"
    if opened and _inside(address, _OPENABLE):
        return None
    if address.is_loopback:
        return "a loopback address"
    if _inside(address, _TUNNELS):
        return "an address that tunnels to an IPv4 address"
    if address.is_private:
        return "a private address"
    if not address.is_global or address.is_reserved or _inside(address, _SPECIAL):
        return "a reserved address"
    return None
