"""Calls over real sockets: pinned to the checked address, bounded in time and size."""

from __future__ import annotations

import os
import socket
import time
import tracemalloc
from collections.abc import Callable

import pytest

from automation.outbound import OutboundFailed, OutboundRefused, post_json, request
from automation.outbound.connections import pool
from tests.outbound.conftest import RawServer, Resolver, Speak
from tests.support.receiver import HttpReceiver, Reply

Start = Callable[[Speak], RawServer]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def read_request(connection: socket.socket) -> bytes:
    """One request whose body is announced by Content-Length, or what came before the client left."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = connection.recv(65536)
        if not block:
            return data
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def test_it_posts_json_and_keeps_the_start_of_the_answer(http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(status=202, body=b'{"a":1}', headers={"X-Id": "7"}))

    response = post_json(http_receiver.url(), {"name": "José", "n": 1}, {"Idempotency-Key": "k:1"})

    assert (response.status, response.ok, response.body_start) == (202, True, '{"a":1}')
    assert response.headers["x-id"] == "7"
    assert response.json() == {"a": 1}
    assert response.elapsed > 0
    [received] = http_receiver.requests
    assert received.json == {"name": "José", "n": 1}
    assert received.headers["content-type"] == "application/json"
    assert received.headers["idempotency-key"] == "k:1"
    assert received.headers["host"] == f"127.0.0.1:{http_receiver.port}"


def test_bytes_are_sent_as_they_are(http_receiver: HttpReceiver) -> None:
    body = b'{ "spaced" : true }'
    post_json(http_receiver.url(), body)
    assert http_receiver.requests[0].body == body


def test_a_redirect_is_an_answer_and_is_not_followed(http_receiver: HttpReceiver) -> None:
    metadata = "http://169.254.169.254/latest/meta-data/"
    http_receiver.on("/hook", Reply(status=302, headers={"Location": metadata}))
    response = post_json(http_receiver.url(), {})
    assert (response.status, response.ok, response.headers["location"]) == (302, False, metadata)
    assert len(http_receiver.requests) == 1


def test_proxies_in_the_environment_are_not_used(http_receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post_json(http_receiver.url(), {}).ok


def test_a_name_that_changes_its_address_after_the_check_is_not_followed(
    raw_server: Start, resolver: Resolver, settings: object
) -> None:
    """DNS rebinding: a second look-up would reach the server; there is none."""

    def speak(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(OK)

    server = raw_server(speak)
    settings.WEBHOOK_ALLOWED_HOSTS = ["rebind.example"]  # type: ignore[attr-defined]
    resolver.names["rebind.example"] = [["127.0.0.9"], ["127.0.0.1"], ["169.254.169.254"]]
    with pytest.raises(OutboundFailed, match="refused"):
        post_json(server.url("rebind.example"), {})
    assert (resolver.asked, server.connections) == (["rebind.example"], 0)
    assert post_json(server.url("rebind.example"), {}).ok
    with pytest.raises(OutboundRefused, match="metadata"):
        post_json(server.url("rebind.example"), {})
    assert server.connections == 1


def test_a_kept_connection_is_not_used_for_a_name_that_moved(
    http_receiver: HttpReceiver, resolver: Resolver, settings: object
) -> None:
    url = f"http://moving.example:{http_receiver.port}/hook"
    settings.WEBHOOK_ALLOWED_HOSTS = ["moving.example"]  # type: ignore[attr-defined]
    resolver.names["moving.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    assert post_json(url, {}).ok
    with pytest.raises(OutboundRefused, match="metadata"):
        post_json(url, {})
    assert len(http_receiver.requests) == 1


def test_the_next_address_is_tried_when_one_refuses(
    http_receiver: HttpReceiver, resolver: Resolver, settings: object
) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = ["two.example"]  # type: ignore[attr-defined]
    resolver.names["two.example"] = [["127.0.0.9", "127.0.0.1"]]
    assert post_json(f"http://two.example:{http_receiver.port}/hook", {}).ok
    assert http_receiver.requests[0].headers["host"] == f"two.example:{http_receiver.port}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "1\nX-B: 2"),
        ("X-A", "\0"),
        ("X-A", "smörgås ☃"),
        ("X A", "1"),
        ("X-A: 1\r\nX-B", "2"),
        ("Host", "evil.example"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
    ],
)
def test_a_header_cannot_carry_another(http_receiver: HttpReceiver, name: str, value: str) -> None:
    with pytest.raises(OutboundRefused, match="header"):
        post_json(http_receiver.url(), {}, {name: value})
    assert http_receiver.requests == []


# --- Bounds -----------------------------------------------------------------------------------------------------------


def test_an_endless_answer_is_cut_and_costs_no_memory(http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(mode="endless"))
    tracemalloc.start()
    response = post_json(http_receiver.url(), {}, timeout=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert response.ok
    assert response.truncated
    assert response.body_start == "0" * 2048
    assert peak < 5_000_000
    assert response.elapsed < 4


def test_a_gigabyte_announced_is_cut(raw_server: Start) -> None:
    def speak(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        for _ in range(16384):
            connection.sendall(b"x" * 65536)

    response = post_json(raw_server(speak).url(), {}, timeout=5)
    assert response.truncated
    assert len(response.body) == 4096


def trickle(connection: socket.socket, data: bytes) -> None:
    for index in range(len(data)):
        connection.sendall(data[index : index + 1])
        time.sleep(0.02)  # the trickle itself is the point


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 90,
        OK.replace(b": 2", b": 2000") + b"." * 1000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 60,
        b"H" * 1000,
    ],
    ids=["headers", "body", "continue", "status line"],
)
def test_a_slow_loris_meets_the_deadline(raw_server: Start, answer: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        read_request(connection)
        trickle(connection, answer)

    server = raw_server(speak)
    started = time.monotonic()
    with pytest.raises(OutboundFailed, match=r"did not answer in full within 0\.4 s"):
        post_json(server.url(), {}, timeout=0.4)
    assert time.monotonic() - started < 2


def test_silence_meets_the_deadline(http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(mode="silent"))
    with pytest.raises(OutboundFailed, match="did not answer"):
        post_json(http_receiver.url(), {}, timeout=0.3)


def test_a_receiver_that_does_not_read_meets_the_deadline(raw_server: Start) -> None:
    server = raw_server(lambda connection: server.stopped.wait(20))
    with pytest.raises(OutboundFailed, match="did not answer"):
        post_json(server.url(), b"x" * 30_000_000, timeout=0.5)


# --- Broken answers ---------------------------------------------------------------------------------------------------


def test_an_answer_that_comes_before_the_body_was_read_counts(raw_server: Start) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    assert post_json(raw_server(speak).url(), b"x" * 5_000_000).status == 413


def test_a_reset_in_the_body_may_pass_later(http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(mode="reset", body=b"x" * 1000))
    with pytest.raises(OutboundFailed):
        post_json(http_receiver.url(), {})


def test_a_refused_connection_may_pass_later(http_receiver: HttpReceiver) -> None:
    http_receiver.down()
    with pytest.raises(OutboundFailed, match="refused"):
        post_json(http_receiver.url(), {})


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x16\x03\x01 what is this",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: yes\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
    ],
    ids=["nothing", "no http", "short", "bad chunk", "short chunk", "many headers", "long header", "bad status"],
)
def test_a_broken_answer_may_pass_later(raw_server: Start, answer: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    with pytest.raises(OutboundFailed, match=r"The call to 127\.0\.0\.1"):
        post_json(raw_server(speak).url(), {}, timeout=3)


def test_a_body_that_is_no_text_is_kept_as_text_that_a_database_takes(http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(body=b"a\0b\xffc"))
    assert post_json(http_receiver.url(), {}).body_start == "a\ufffdb\ufffdc"


def test_the_cut_does_not_split_a_character(http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(body="é".encode() * 1500 + b"!"))
    http_receiver.on("/odd", Reply(body=b"!" + "é".encode() * 1500))
    assert post_json(http_receiver.url(), {}).body_start == "é" * 1024
    assert post_json(http_receiver.url("/odd"), {}).body_start == "!" + "é" * 1023


# --- Kept connections -------------------------------------------------------------------------------------------------


def test_a_connection_is_kept_for_the_next_call(raw_server: Start) -> None:
    def speak(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(OK)

    server = raw_server(speak)
    for _ in range(5):
        assert post_json(server.url(), {}).ok
    assert server.connections == 1


def test_a_connection_that_was_closed_meanwhile_is_replaced(raw_server: Start) -> None:
    served: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        served.append(read_request(connection))
        connection.sendall(OK)

    server = raw_server(speak)
    for _ in range(3):
        assert post_json(server.url(), {}).ok
    assert server.connections == 3
    assert len(served) == 3


def test_a_connection_that_closes_on_the_next_request_is_replaced_once(raw_server: Start) -> None:
    """The race that no look beforehand can exclude: the other end closes when the request is already on its way."""

    def speak(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(OK)
        connection.recv(10)  # takes the next request's first bytes, then closes

    server = raw_server(speak)
    assert post_json(server.url(), {}).ok
    assert post_json(server.url(), {}).ok
    assert server.connections == 2


def test_a_connection_whose_answer_was_cut_is_not_kept(raw_server: Start) -> None:
    def speak(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)

    server = raw_server(speak)
    post_json(server.url(), {})
    post_json(server.url(), {})
    assert server.connections == 2


def test_bytes_nobody_asked_for_do_not_become_the_next_answer(raw_server: Start) -> None:
    """Response smuggling: an answer sent ahead of its request is thrown away with its connection."""

    def speak(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(OK + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n")

    server = raw_server(speak)
    assert [post_json(server.url(), {}).status for _ in range(3)] == [200, 200, 200]


def test_a_forked_child_does_not_share_its_parents_connections(raw_server: Start) -> None:
    def speak(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(OK)

    server = raw_server(speak)
    assert post_json(server.url(), {}).ok
    child = os.fork()
    if child == 0:
        os._exit(0 if not pool._idle else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert post_json(server.url(), {}).ok
    assert server.connections == 1


def test_other_methods_and_longer_answers_are_for_providers(http_receiver: HttpReceiver) -> None:
    http_receiver.on("/rooms", Reply(body=b"[" + b"1," * 10_000 + b"1]"))
    response = request("GET", http_receiver.url("/rooms?page=1"), max_body=100_000)
    assert len(response.json()) == 10_001
    assert http_receiver.requests[0].method == "GET"
    assert "content-length" not in http_receiver.requests[0].headers


def test_a_provider_set_by_the_operator_may_be_private(http_receiver: HttpReceiver, settings: object) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = []  # type: ignore[attr-defined]
    with pytest.raises(OutboundRefused, match="loopback"):
        request("GET", http_receiver.url())
    assert request("GET", http_receiver.url(), trusted_hosts=[f"127.0.0.1:{http_receiver.port}"]).ok
