"""Real worker and beat processes, on the test run's database and broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from project.embedded import die_with_parent
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0


class Node:
    """One process with its children, in a process group of its own; `log` is where its output goes."""

    kind = "node"
    ready_line = ""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.arguments = list(arguments)
        self.environment = dict(environment)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self, *, wait: bool = True) -> None:
        """Start it (again), and wait until it says that it is ready."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Children of a prefork worker end with it by Celery's own arrangement.
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        def ready() -> bool:
            if not self.is_running:
                raise AssertionError(f"{self.kind} {self.name} ended with {self.returncode}:\n{self.log_tail()}")
            return self.ready_line in self.log_text()

        wait_until(ready, timeout, lambda: f"{self.kind} {self.name} ready:\n{self.log_tail()}", interval=0.05)

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.kind} {self.name} was not started"
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self.process.returncode if self.process else None

    def children(self) -> list[int]:
        """The pids of its children: in a prefork worker, the processes that run tasks."""
        with suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        return []

    def signal(self, sig: int) -> None:
        """To the main process only."""
        if self.is_running:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """`kill -9` the whole node, as a machine that loses power."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def kill_child(self, index: int = 0) -> int:
        """`kill -9` one child, as the kernel out of memory does; the node goes on. Returns its pid."""
        pids = wait_until(self.children, message=f"{self.kind} {self.name} has children")
        pid = pids[index % len(pids)]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return pid

    def pause(self) -> None:
        """SIGSTOP the whole node."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self, timeout: float = 20.0) -> None:
        """A warm shutdown: SIGTERM lets running tasks end; by force after `timeout` seconds."""
        if self.process is None:
            return
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGCONT)
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout)
        self.kill()  # whatever the main process left behind

    def log_text(self) -> str:
        """What it wrote since its last start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])


class Worker(Node):
    kind = "worker"
    ready_line = " ready."


class Beat(Node):
    kind = "beat"
    ready_line = "beat: Starting..."


class Farm:
    """Starts workers and beats, and ends all that it started."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self.environment = dict(environment)
        self.logs = logs
        self.nodes: list[Node] = []
        self._shared: Worker | None = None
        self._count = 0

    def worker(
        self,
        *,
        pool: str = "prefork",
        concurrency: int = 2,
        queues: Sequence[str] = (),
        include: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        wait: bool = True,
    ) -> Worker:
        """A worker node: `celery -A project worker`, ready on return unless not waited for.

        `queues`: all of them unless named. `include`: modules with more workflows and activities to import. `env`: on
        top of the run's environment. `options`: more command line.
        """
        arguments = ["celery", "-A", "project", "worker", "--pool", pool, "--concurrency", str(concurrency)]
        arguments += ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
        arguments += ["--queues", ",".join(queues or self._all_queues())]
        if include:
            arguments += ["--include", ",".join(include)]
        name = self._name("worker")
        arguments += ["--hostname", f"{name}@%h", *options]
        worker = Worker(name, arguments, {**self.environment, **(env or {})}, self.logs / f"{name}.log")
        self.nodes.append(worker)
        worker.start(wait=wait)
        return worker

    def beat(self, *, env: Mapping[str, str] | None = None, wait: bool = True) -> Beat:
        """A beat: `celery -A project beat`, with the schedules synced first."""
        from django.core.management import call_command

        call_command("sync_schedules", verbosity=0)
        name = self._name("beat")
        arguments = ["celery", "-A", "project", "beat", "--loglevel", "INFO", "--pidfile", ""]
        beat = Beat(name, arguments, {**self.environment, **(env or {})}, self.logs / f"{name}.log")
        self.nodes.append(beat)
        beat.start(wait=wait)
        return beat

    def shared(self) -> Worker:
        """The one worker that tests share which need no worker of their own; started by the first of them. It has
        imported every `tests/<package>/definitions.py`."""
        if self._shared is None or not self._shared.is_running:
            found = sorted((ROOT / "tests").glob("*/definitions.py"))
            self._shared = self.worker(include=[f"tests.{path.parent.name}.definitions" for path in found])
        return self._shared

    def end_shared(self) -> None:
        if self._shared is not None:
            self._shared.kill()
            self.nodes.remove(self._shared)
            self._shared = None

    def end_since(self, count: int) -> None:
        """End all nodes but the first `count`, by force: a test that means a clean end says `stop()`. The shared worker
        stays."""
        for node in self.nodes[count:]:
            if node is not self._shared:
                node.kill()
                self.nodes.remove(node)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def _all_queues(self) -> list[str]:
        from django.conf import settings

        return [settings.WORKFLOW_TASK_QUEUE, settings.WORKFLOW_CRITICAL_QUEUE, settings.WORKFLOW_BACKGROUND_QUEUE]
