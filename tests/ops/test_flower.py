"""Flower runs behind a password and sees the workers."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from project.celery import app
from project.embedded import die_with_parent, free_port
from tests.support.processes import ROOT, Worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


class Flower:
    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, auth: str = "") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if auth:
            request.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def is_up(self) -> bool:
        try:
            return self.get("/healthcheck")[0] == 200
        except OSError:
            return False


def command(port: int) -> list[str]:
    return [sys.executable, "-m", "celery", "--quiet", "-A", "project", "flower", f"--port={port}"]


@pytest.fixture
def flower(process_environment: dict[str, str], tmp_path: Path) -> Iterator[Flower]:
    port = free_port()
    log = tmp_path / "flower.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(port),
            cwd=ROOT,
            env={**process_environment, "FLOWER_BASIC_AUTH": "ann:secret"},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),  # noqa: PLW1509
        )
    found = Flower(port)
    wait_until(found.is_up, 30, log.read_text)
    yield found
    process.terminate()
    process.wait(10)


def test_it_asks_for_a_password_and_shows_workers_and_their_tasks(
    worker: Callable[..., Worker], flower: Flower
) -> None:
    node = worker(include=["tests.ops.tasks"], options=["--task-events"])
    for path in ("/", "/workers", "/tasks", "/api/workers"):
        assert flower.get(path)[0] == 401, path
        assert flower.get(path, "ann:wrong")[0] == 401, path
    assert flower.get("/workers", "ann:secret")[0] == 200

    def shown() -> bool:
        status, body = flower.get("/api/workers?refresh=1", "ann:secret")
        return status == 200 and any(name.startswith(f"{node.name}@") for name in json.loads(body))

    wait_until(shown, 30, message="the worker is listed")

    def ran() -> bool:
        app.send_task("ops_nap", args=[0.0, "for flower"])
        status, body = flower.get("/api/tasks?taskname=ops_nap&state=SUCCESS", "ann:secret")
        return status == 200 and bool(json.loads(body))

    wait_until(ran, 30, message="the task is listed", interval=0.5)


def test_it_does_not_start_in_production_with_the_password_that_everybody_knows(
    process_environment: dict[str, str],
) -> None:
    environment = {key: value for key, value in process_environment.items() if key != "FLOWER_BASIC_AUTH"}
    done = subprocess.run(
        command(free_port()),
        cwd=ROOT,
        env={**environment, "PRODUCTION": "true", "SECRET_KEY": os.urandom(20).hex()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "FLOWER_BASIC_AUTH" in done.stderr
