"""HTTPS to a pinned address: the certificate must be the name's."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from automation.outbound import OutboundFailed, post_json
from automation.outbound.connections import tls_context
from tests.outbound.conftest import RawServer, Resolver, Speak
from tests.outbound.test_client import OK, read_request

Start = Callable[[Speak], RawServer]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for hook.example and 127.0.0.2, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hook.example")])
    names = [x509.DNSName("hook.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "hook.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_server(certificate: Path, raw_server: Start) -> tuple[RawServer, list[str | None]]:
    """An HTTPS server, and the names that clients asked it for by SNI."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda sock, name, ctx: names.append(name)

    def speak(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            while read_request(wrapped):
                wrapped.sendall(OK)

    return raw_server(speak), names


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_context.cache_clear()


@pytest.fixture(autouse=True)
def _names(resolver: Resolver, settings: object) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = ["hook.example", "other.example", "127.0.0.1"]  # type: ignore[attr-defined]
    resolver.names.update({"hook.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})


def test_the_name_is_verified_though_the_address_is_dialled(
    tls_server: tuple[RawServer, list[str | None]], trusted: None
) -> None:
    server, names = tls_server
    for _ in range(2):
        assert post_json(server.url("hook.example", "https"), {"a": 1}).ok
    assert names == ["hook.example"]  # one handshake: the connection was kept
    assert server.connections == 1


def test_another_names_certificate_is_not_accepted(
    tls_server: tuple[RawServer, list[str | None]], trusted: None
) -> None:
    server, _ = tls_server
    with pytest.raises(OutboundFailed, match=r"certificate of other\.example.*not valid"):
        post_json(server.url("other.example", "https"), {})
    with pytest.raises(OutboundFailed, match="certificate"):
        post_json(server.url("127.0.0.1", "https"), {})


def test_an_unknown_authoritys_certificate_is_not_accepted(tls_server: tuple[RawServer, list[str | None]]) -> None:
    server, _ = tls_server
    with pytest.raises(OutboundFailed, match="certificate"):
        post_json(server.url("hook.example", "https"), {})


def test_a_handshake_that_stalls_meets_the_deadline(raw_server: Start) -> None:
    server = raw_server(lambda connection: server.stopped.wait(20))
    started = time.monotonic()
    with pytest.raises(OutboundFailed, match="did not answer"):
        post_json(server.url("hook.example", "https"), {}, timeout=0.3)
    assert time.monotonic() - started < 2


def test_https_to_a_server_of_plain_http_fails(raw_server: Start) -> None:
    server = raw_server(lambda connection: connection.sendall(OK))
    with pytest.raises(OutboundFailed, match=r"The call to hook\.example"):
        post_json(server.url("hook.example", "https"), {}, timeout=2)
