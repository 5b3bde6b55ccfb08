"""`make up`, from nothing: every process, the demo booking, and an end that leaves nothing running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from project.embedded import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[2]
OURS = ("DATABASE_URL", "REDIS_URL", "CELERY_KEY_PREFIX", "DJANGO_SETTINGS_MODULE", "EMAIL_BACKEND", "WEIR_CLOCK_FILE")


class Up:
    """`python -m project.up` on data of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.output = directory / "output"
        self.environment = {name: value for name, value in os.environ.items() if name not in OURS}
        self.environment |= {"WEIR_VAR_DIR": str(directory / "var"), "PORT": str(self.port), "WEB_CONCURRENCY": "1"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "project.up"], cwd=ROOT, env=self.environment, stdout=output, stderr=output
            )

    def text(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def wait_for(self, text: str, timeout: float) -> None:
        def there() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.text()}"
            return text in self.text()

        wait_until(there, timeout, lambda: f"{text!r} in:\n{self.text()}")

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return int(answer.status)

    def processes(self) -> list[int]:
        """Of all processes, those that run on this data: whoever their parent is."""
        mark = self.environment["WEIR_VAR_DIR"]
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("WEIR_VAR_DIR") == mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path)
    yield up
    if up.process is not None and up.process.poll() is None:
        up.process.kill()
        up.process.wait()
    for pid in up.processes():
        os.kill(pid, signal.SIGKILL)


def test_it_shows_a_booking_from_nothing_and_leaves_nothing_running(up: Up) -> None:
    up.start()
    up.wait_for("Ctrl-C", 90)

    assert up.get("/admin/login/") == 200
    said = up.text()
    for line in (
        "Ada Lovelace books Discovery Call",
        "▶ Booking confirmation",
        "✓ execute_email_action",
        "Confirmation to ada@example.com",
        "✓ execute_update_booking_action",
        "Heads-up for a large group: its conditions do not hold",
        "· Reminder a day before: planned for",
        "demo@example.com / demo-password",
    ):
        assert line in said, said
    assert len(list((up.directory / "var" / "mail").iterdir())) == 2
    assert len(up.processes()) > 8
    command = [sys.executable, "manage.py", "trigger_workflow", "TestWorkflow", "--wait"]
    done = subprocess.run(
        command, cwd=ROOT, env=up.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ completed" in done.stdout
    assert "the broker did not take" not in done.stderr  # it was told where the Redis of `make up` is

    assert up.process is not None
    children = psutil.Process(up.process.pid).children()
    [redis] = [child for child in children if "redis-server" in child.cmdline()[0]]
    redis.kill()
    done = subprocess.run(
        command, cwd=ROOT, env=up.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr + up.text()
    assert "✓ completed" in done.stdout
    up.wait_for("running again", 30)

    up.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert up.process.wait(15) == 0

    assert time.monotonic() - began < 10
    assert up.processes() == []
    assert not (up.directory / "var" / "redis.url").exists()

    up.start()
    began = time.monotonic()
    up.wait_for("first page after", 30)
    assert time.monotonic() - began < 10
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(15) == 0
    assert up.processes() == []


def test_it_says_in_one_line_that_its_port_is_taken(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", up.port))
        taken.listen()
        up.start()
        assert up.process is not None
        assert up.process.wait(20) == 1

    assert up.text().startswith(f"weir: port {up.port} is taken; choose another one: PORT=")
    assert up.text().count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("REDIS_URL", "localhost:6379", "weir: REDIS_URL='localhost:6379' is not valid: expected redis://"),
        ("REDIS_URL", "redis://:secret@127.0.0.1:1/0", "weir: nothing answers at REDIS_URL=redis://:**@127.0.0.1:1/0"),
        ("DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/x", "weir: DATABASE_URL=postgresql://me:**@127.0.0.1:1/x"),
        (
            "DATABASE_URL",
            "sqlite:////nowhere/x.sqlite3",
            "weir: DATABASE_URL=sqlite:////nowhere/x.sqlite3 cannot",
        ),
        ("SMS_BACKEND", "nothing.Backend", "weir: SMS_BACKEND='nothing.Backend' cannot be imported"),
        ("HOST", "203.0.113.7", "weir: HOST='203.0.113.7' is no IPv4 address of this machine"),
        ("WEIR_VAR_DIR", "/dev/null/var", "weir: WEIR_VAR_DIR='/dev/null/var' is not valid: expected a directory"),
    ],
)
def test_it_says_in_one_line_what_is_wrong(up: Up, name: str, value: str, said: str) -> None:
    up.environment[name] = value
    up.start()
    assert up.process is not None
    assert up.process.wait(60) == 1

    lines = [line for line in up.text().splitlines() if not line.startswith("redis ")]
    assert len(lines) == 1, up.text()
    assert lines[0].startswith(said)
    assert "secret" not in lines[0]
