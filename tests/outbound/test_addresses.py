"""Which addresses Weir connects to."""

from __future__ import annotations

import ipaddress

import pytest

from automation.outbound.addresses import objection

REFUSED = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "::1": "loopback",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "fc00::1": "private",
    "fd12:3456::1": "private",
    "169.254.169.254": "metadata",
    "169.254.170.2": "metadata",
    "fd00:ec2::254": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "192.0.0.192": "metadata",
    "169.254.0.1": "link-local",
    "fe80::1": "link-local",
    "fe80::1%1": "interface",
    "0.0.0.0": "unspecified",
    "::": "unspecified",
    "0.1.2.3": "private",
    "100.64.0.1": "reserved",
    "192.0.2.1": "private",
    "198.18.0.1": "private",
    "192.88.99.1": "reserved",
    "240.0.0.1": "private",
    "255.255.255.255": "private",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
    "2001:db8::1": "private",
    "3fff::1": "reserved",
    "5f00::1": "reserved",
    "fec0::1": "reserved",
    # IPv4 inside IPv6
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "metadata",
    "::ffff:10.1.2.3": "private",
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::a9fe:a9fe": "metadata",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b:1::1": "tunnels",
    "2002:7f00:1::": "tunnels",
    "2002:808:808::": "tunnels",
    "2001:0:7f00:1::": "tunnels",
    "::127.0.0.1": "tunnels",
    "::8.8.8.8": "tunnels",
    "::ffff:0:127.0.0.1": "tunnels",
}


@pytest.mark.parametrize(("address", "word"), REFUSED.items())
def test_it_refuses_what_is_not_public(address: str, word: str) -> None:
    reason = objection(ipaddress.ip_address(address))
    assert reason is not None
    assert word in reason


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "192.0.1.1"],
)
def test_it_allows_public_addresses(address: str) -> None:
    assert objection(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd12::1", "::ffff:127.0.0.1"])
def test_an_opened_host_may_be_private_or_loopback(address: str) -> None:
    assert objection(ipaddress.ip_address(address), opened=True) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "fe80::1",
        "224.0.0.1",
        "0.0.0.0",
        "::",
        "240.0.0.1",
    ],
)
def test_an_opened_host_is_never_a_metadata_service(address: str) -> None:
    assert objection(ipaddress.ip_address(address), opened=True)
