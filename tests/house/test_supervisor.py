"""The supervisor behind `make up`: readable logs, restarts, and an end that leaves nothing running."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from project.supervisor import Console, Supervisor, read_procfile
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


class Run:
    def __init__(self, directory: Path) -> None:
        self.output = io.StringIO()
        self.directory = directory
        self.supervisor = Supervisor(Console(["web", "worker"], self.output), os.environ, directory)

    def lines(self) -> list[str]:
        return self.output.getvalue().splitlines()

    def wait_for(self, line: str, timeout: float = 5.0) -> None:
        wait_until(lambda: line in self.lines(), timeout, lambda: f"{line!r} in {self.lines()}")

    def written_pids(self) -> list[int]:
        return [int(path.read_text()) for path in self.directory.glob("*.pid") if path.read_text().strip()]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.supervisor.kill()


def test_it_reads_a_procfile(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text("# what runs\nweb: serve --port $PORT\n\nworker-critical:  work\n")
    assert read_procfile(path) == {"web": "serve --port $PORT", "worker-critical": "work"}

    path.write_text("web: serve\nworker work\n")
    with pytest.raises(ValueError, match="Procfile, line 2: expected 'name: command', got 'worker work'"):
        read_procfile(path)


def test_the_project_has_the_processes_that_a_platform_expects() -> None:
    assert list(read_procfile(ROOT / "Procfile")) == [
        "release", "web", "worker", "worker-critical", "worker-background", "beat", "flower",
    ]  # fmt: skip


def test_it_puts_the_name_before_each_line(run: Run) -> None:
    run.supervisor.start("web", "echo one; echo two >&2; exec sleep 60")

    run.wait_for("web    | one")
    run.wait_for("web    | two")


def test_it_starts_again_what_ends(run: Run) -> None:
    run.supervisor.start("web", "echo up; exit 3")
    run.supervisor.start("worker", "echo $$ > worker.pid; echo up; exec sleep 60")
    run.wait_for("worker | up")
    os.kill(run.written_pids()[0], signal.SIGKILL)

    run.wait_for("web    | ended with exit code 3; starting it again in 1 s")
    run.wait_for("web    | ended with exit code 3; starting it again in 2 s")
    run.wait_for("worker | was killed by SIGKILL; starting it again in 1 s")
    wait_until(lambda: run.lines().count("worker | up") == 2, message="the second start")


def test_it_ends_all_it_started_within_its_grace(run: Run) -> None:
    # One that ends when asked, and one that does not want to, with a child in the background.
    run.supervisor.start(
        "web", "trap 'echo bye; exit 0' TERM; echo $$ > web.pid; echo up; while :; do sleep 0.05; done"
    )
    run.supervisor.start(
        "worker",
        "trap '' TERM; sleep 600 & echo $! > child.pid; echo $$ > worker.pid; echo up; while :; do sleep 1; done",
    )
    run.wait_for("web    | up")
    run.wait_for("worker | up")
    pids = run.written_pids()
    assert len(pids) == 3

    began = time.monotonic()
    run.supervisor.stop(grace=1.0)

    assert time.monotonic() - began < 4
    assert "web    | bye" in run.lines()
    assert "worker | did not end within 1 s: killed" in run.lines()
    assert not any("starting it again" in line for line in run.lines())
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 2, "no process left")


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_its_processes_end_with_it_when_it_is_killed(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, time
from project.supervisor import Console, Supervisor
supervisor = Supervisor(Console(["web"]), os.environ, pathlib.Path({str(tmp_path)!r}))
supervisor.start("web", "echo $$ > web.pid; echo up; exec sleep 600")
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "web | up\n"
        pid = int((tmp_path / "web.pid").read_text())
        assert psutil.pid_exists(pid)

        process.kill()

        wait_until(lambda: not psutil.pid_exists(pid), 5, "the end of its process")
