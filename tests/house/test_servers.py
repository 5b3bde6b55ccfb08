"""The servers that tests stand on are real, and can be made to fail."""

from __future__ import annotations

import os
import smtplib
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import psycopg
import pytest
import redis

from automation import clock
from automation.models import User
from project.embedded import PostgresServer, RedisServer, port_is_free
from tests.conftest import database_url
from tests.support.environment import environment
from tests.support.mail import SmtpServer
from tests.support.receiver import HttpReceiver, Reply
from tests.support.waiting import wait_until


@pytest.mark.real
def test_it_keeps_what_was_committed_when_postgres_is_killed(postgres: PostgresServer) -> None:
    User.objects.create_user("kept@example.com")

    postgres.restart(crash=True)

    with psycopg.connect(database_url()) as connection:
        row = connection.execute("SELECT count(*) FROM automation_user WHERE email = 'kept@example.com'").fetchone()
    assert row == (1,)
    assert User.objects.filter(email="kept@example.com").exists()  # this process's own connection is replaced too


@pytest.mark.real
def test_it_restarts_redis_with_or_without_its_data(redis_server: RedisServer) -> None:
    client = redis.Redis.from_url(redis_server.url)
    client.set("kept", "yes")
    client.bgrewriteaof()
    wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], message="the append-only file")

    redis_server.kill()
    assert port_is_free(redis_server.port)
    redis_server.start()
    assert client.get("kept") == b"yes"

    redis_server.kill()
    redis_server.forget()
    redis_server.start()
    assert client.get("kept") is None


def test_it_removes_an_embedded_postgres_with_its_directory() -> None:
    with PostgresServer() as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
        assert connection.execute("SELECT lower('ÄÖ')").fetchone() == ("äö",)
        pid = server.pid

    assert not server.directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _send(port: int, *recipients: str) -> dict[str, tuple[int, bytes]]:
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
        return client.sendmail("weir@example.com", recipients, "Subject: Hello\n\nText")


def test_its_smtp_server_records_and_refuses(smtp_server: SmtpServer) -> None:
    smtp_server.reject("bad@example.com")

    refused = _send(smtp_server.port, "good@example.com", "bad@example.com")

    assert list(refused) == ["bad@example.com"]
    (mail,) = smtp_server.wait_for(1)
    assert (mail.recipients, mail.subject) == (("good@example.com",), "Hello")

    smtp_server.reset()
    smtp_server.greylist(1)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        _send(smtp_server.port, "good@example.com")
    assert _send(smtp_server.port, "good@example.com") == {}

    smtp_server.down()
    with pytest.raises(ConnectionRefusedError):
        _send(smtp_server.port, "good@example.com")


def test_its_http_receiver_records_and_answers_as_told(http_receiver: HttpReceiver) -> None:
    http_receiver.on("/hook", Reply(503, headers={"Retry-After": "2"}), Reply(201, b"made"))

    with pytest.raises(urllib.error.HTTPError) as failure:
        urllib.request.urlopen(http_receiver.url(), data=b'{"a": 1}', timeout=5)
    assert (failure.value.code, failure.value.headers["Retry-After"]) == (503, "2")
    for _ in range(2):  # the last answer stays
        with urllib.request.urlopen(http_receiver.url(), data=b'{"a": 1}', timeout=5) as answer:
            assert (answer.status, answer.read()) == (201, b"made")

    requests = http_receiver.wait_for(3, "/hook")
    assert [request.method for request in requests] == ["POST"] * 3
    assert requests[0].json == {"a": 1}


@pytest.mark.parametrize("mode", ["reset", "endless", "silent", "slow"])
def test_its_http_receiver_misbehaves(http_receiver: HttpReceiver, mode: str) -> None:
    http_receiver.on("/bad", Reply(body=b"0123456789" * 10, mode=mode))  # type: ignore[arg-type]

    with socket.create_connection(("127.0.0.1", http_receiver.port), timeout=0.5) as client:
        client.sendall(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        try:
            while len(received) < 1_000_000 and (block := client.recv(65536)):
                received += block
                if mode == "slow" and received.endswith(b"\r\n\r\n01"):
                    break
            outcome = "sent"
        except ConnectionResetError:
            outcome = "reset"
        except TimeoutError:
            outcome = "nothing"

    assert outcome == {"reset": "reset", "endless": "sent", "silent": "nothing", "slow": "sent"}[mode]
    assert (len(received) >= 1_000_000) == (mode == "endless")


def test_it_moves_the_clock(clock_shift: Callable[[float], None]) -> None:
    before = clock.timestamp()

    clock_shift(3600)

    assert 3600 <= clock.timestamp() - before < 3605
    assert float(environment.clock_file.read_text()) == 3600


def test_the_clock_is_back(clock_shift: Callable[[float], None]) -> None:
    assert abs(clock.timestamp() - time.time()) < 5
