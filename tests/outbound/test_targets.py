"""From a URL to addresses: what is taken apart, what is refused, what a setting opens."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.outbound import OutboundFailed, OutboundRefused, check_url, parse_target, targets
from tests.outbound.conftest import Resolver


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "header"),
    [
        ("https://Example.COM", "example.com", 443, "/", "example.com"),
        ("http://example.com.:8080/a b".replace(" ", "%20"), "example.com", 8080, "/a%20b", "example.com:8080"),
        ("https://example.com/å?q=ö&x=%41#part", "example.com", 443, "/%C3%A5?q=%C3%B6&x=%41", "example.com"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
        ("http://[2606:4700::1111]:81/", "2606:4700::1111", 81, "/", "[2606:4700::1111]:81"),
    ],
)
def test_it_takes_a_url_apart(url: str, host: str, port: int, path: str, header: str) -> None:
    target = parse_target(url)
    assert (target.host, target.port, target.path, target.host_header) == (host, port, path, header)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ftp://example.com/", "http://"),
        ("file:///etc/passwd", "http://"),
        ("gopher://127.0.0.1:25/_HELO", "http://"),
        ("//example.com/", "http://"),
        ("", "http://"),
        ("https://", "host"),
        ("https://user:secret@example.com/", "user name"),
        ("https://example.com@127.0.0.1/", "user name"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com:99999/", "not valid"),
        ("https://example.com:x/", "not valid"),
        ("https://[::1/", "not valid"),
        ("https://example.com/\r\nX-Injected: 1", "control character"),
        ("https://example.com/\x00", "control character"),
        ("https://example.com\\@127.0.0.1/", "backslash"),
        ("https://exa mple.com/", "space"),
        ("https://" + "a" * 64 + ".example/", "not valid"),
        ("https://exa%6dple.com/", "host"),
        ("https://[fe80::1%25eth0]/", "valid"),
        ("https://example.com/" + "x" * 4000, "characters"),
        ("https://\ud800.example/", "not valid"),
    ],
)
def test_it_refuses_a_url_that_is_never_called(url: str, word: str) -> None:
    with pytest.raises(OutboundRefused, match=word):
        parse_target(url)


def test_a_secret_in_a_refused_url_is_not_repeated() -> None:
    with pytest.raises(OutboundRefused) as caught:
        parse_target("https://user:hunter2@example.com/")
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    try:
        target = parse_target("http://" + text)
    except OutboundRefused:
        return
    assert target.path.isascii()
    assert not set(target.path + target.host) & set("\r\n \0\\")


LOOPBACK = [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "localhost",
    "LOCALHOST.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "１２７.０.０.１",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_every_spelling_of_loopback_is_refused(host: str) -> None:
    with pytest.raises(OutboundRefused, match="a loopback address"):
        check_url(f"http://{host}/")


@pytest.mark.parametrize("host", ["0", "0.0.0.0", "[::]", "169.254.169.254", "2852039166", "[fd00:ec2::254]"])
def test_unspecified_and_metadata_addresses_are_refused(host: str) -> None:
    with pytest.raises(OutboundRefused, match=r"unspecified|metadata"):
        check_url(f"http://{host}/latest/meta-data/")


def test_one_private_address_among_public_ones_refuses_the_host(resolver: Resolver) -> None:
    resolver.names["mixed.example"] = [["93.184.216.34", "10.0.0.7"]]
    with pytest.raises(OutboundRefused, match=r"'mixed.example' resolves to 10.0.0.7, a private address"):
        check_url("https://mixed.example/")


@pytest.mark.parametrize("entry", ["localhost", "localhost:8080", "LocalHost"])
def test_a_named_host_is_opened(entry: str, settings: object) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = [entry]  # type: ignore[attr-defined]
    check_url("http://localhost:8080/")


@pytest.mark.parametrize("entry", ["[::1]", "[::1]:8080", "::1"])
def test_a_named_ipv6_host_is_opened(entry: str, settings: object) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = [entry]  # type: ignore[attr-defined]
    check_url("http://[::1]:8080/")


@pytest.mark.parametrize("entry", ["localhost:8081", "localhos", "127.0.0.1", "notlocalhost"])
def test_another_host_or_port_is_not_opened(entry: str, settings: object) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = [entry]  # type: ignore[attr-defined]
    with pytest.raises(OutboundRefused):
        check_url("http://localhost:8080/")


def test_an_opened_name_that_moves_to_the_metadata_service_is_refused(settings: object, resolver: Resolver) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = ["dev.example"]  # type: ignore[attr-defined]
    resolver.names["dev.example"] = [["169.254.169.254"]]
    with pytest.raises(OutboundRefused, match="metadata"):
        check_url("http://dev.example/")


def test_a_host_without_an_address_may_get_one_later(resolver: Resolver) -> None:
    resolver.names["empty.example"] = [[]]
    with pytest.raises(OutboundFailed, match="no address"):
        check_url("http://empty.example/")
    with pytest.raises(OutboundFailed, match="cannot be resolved"):
        check_url("http://no-such-host.invalid/")


def test_a_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(host: str, port: int) -> list[object]:
        release.wait(20)
        return []

    monkeypatch.setattr(targets, "lookup", hang)
    with pytest.raises(OutboundFailed, match=r"took over 0\.1 s"):
        check_url("http://slow.example/", timeout=0.1)
    release.set()
