"""Runs the processes of a Procfile side by side: prefixed logs, restarts with back-off, a clean end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TextIO

from project.embedded import die_with_parent

COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
MAX_BACK_OFF = 30.0
SETTLED_AFTER = 60.0
"""Seconds of life after which a process's next crash starts the back-off over."""


def read_procfile(path: Path) -> dict[str, str]:
    """The commands of a Procfile by process name, in its order. Raises ValueError, naming the line."""
    processes: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9_-]+):\s*(\S.*)", line)
        if match is None:
            raise ValueError(f"{path.name}, line {number}: expected 'name: command', got {line!r}")
        processes[match[1]] = match[2].rstrip()
    return processes


class Console:
    """Whole lines from many threads, each behind the name of who says it."""

    def __init__(self, names: Sequence[str], stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.width = max(len(name) for name in names)
        coloured = self.stream.isatty() and not os.environ.get("NO_COLOR")
        self._colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)} if coloured else {}
        self._lock = threading.Lock()

    def say(self, name: str, line: str) -> None:
        prefix = f"{name:<{self.width}} |"
        if name in self._colours:
            prefix = f"\x1b[{self._colours[name]}m{prefix}\x1b[0m"
        with self._lock, suppress(BrokenPipeError):
            self.stream.write(f"{prefix} {line}\n")
            self.stream.flush()

    def plain(self, text: str) -> None:
        with self._lock, suppress(BrokenPipeError):
            self.stream.write(text + "\n")
            self.stream.flush()


class Supervisor:
    """Keeps processes running until `stop`.

    Each runs in a process group of its own, so that Ctrl-C reaches the supervisor alone, which then ends them in
    order. One that ends by itself is reported and started again, after 1 s, 2 s, 4 s … up to 30 s.
    """

    def __init__(self, console: Console, environment: Mapping[str, str], directory: Path) -> None:
        self.console = console
        self.environment = dict(environment)
        self.directory = directory
        self.stopping = threading.Event()
        self.children: list[_Child] = []

    def start(self, name: str, command: str) -> None:
        child = _Child(self, name, command)
        self.children.append(child)
        child.thread.start()

    def wait_for_line(self, name: str, text: str, timeout: float) -> bool:
        """Whether the process of that name wrote a line with `text` within `timeout` seconds (from its start on)."""
        child = next(child for child in self.children if child.name == name)
        return child.wait_for_line(text, timeout)

    def stop(self, grace: float = 6.0) -> None:
        """Ask every process to end, and end by force, with all its descendants, what is left after `grace` seconds."""
        self.stopping.set()
        for child in self.children:
            child.terminate()
        deadline = time.monotonic() + grace
        for child in self.children:
            child.thread.join(max(0.0, deadline - time.monotonic()))
        for child in self.children:
            if child.thread.is_alive():
                self.console.say(child.name, f"did not end within {grace:g} s: killed")
            child.kill()
        for child in self.children:
            child.thread.join(2.0)

    def kill(self) -> None:
        """End everything at once, without asking."""
        self.stopping.set()
        for child in self.children:
            child.kill()


class _Child:
    """One line of the Procfile, as the thread that runs it again and again."""

    def __init__(self, supervisor: Supervisor, name: str, command: str) -> None:
        self.supervisor = supervisor
        self.name = name
        self.command = command
        self.process: subprocess.Popen[str] | None = None
        self.thread = threading.Thread(target=self._keep_running, name=f"run-{name}", daemon=True)
        self._lock = threading.Lock()  # between starting and stopping: nothing starts after the end was asked for
        self._said: list[str] = []
        self._line_came = threading.Condition()

    def _keep_running(self) -> None:
        back_off = 1.0
        while not self.supervisor.stopping.is_set():
            started = time.monotonic()
            status = self._run_once()
            if self.supervisor.stopping.is_set():
                return
            if time.monotonic() - started > SETTLED_AFTER:
                back_off = 1.0
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
            self.supervisor.console.say(self.name, f"{how}; starting it again in {back_off:g} s")
            self.supervisor.stopping.wait(back_off)
            back_off = min(back_off * 2, MAX_BACK_OFF)

    def _run_once(self) -> int:
        with self._lock:
            if self.supervisor.stopping.is_set():
                return 0
            self.process = process = subprocess.Popen(  # noqa: S603 (the Procfile's own command)
                ["/bin/sh", "-c", _exec(self.command)],
                cwd=self.supervisor.directory,
                env=self.supervisor.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                # A supervisor that is killed takes them along.
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 (one system call, no lock)
            )
        assert process.stdout is not None
        reader = threading.Thread(target=self._read, args=(process.stdout,), name=f"read-{self.name}", daemon=True)
        reader.start()
        status = process.wait()
        self.kill()  # what it left behind would keep the pipe open
        reader.join(2.0)
        with self._lock:
            self.process = None
        return status

    def _read(self, output: IO[str]) -> None:
        with output:
            for raw in output:
                line = raw.rstrip("\r\n")
                self.supervisor.console.say(self.name, line)
                with self._line_came:
                    self._said = [*self._said[-999:], line]
                    self._line_came.notify_all()

    def wait_for_line(self, text: str, timeout: float) -> bool:
        with self._line_came:
            return self._line_came.wait_for(lambda: any(text in line for line in self._said), timeout)

    def terminate(self) -> None:
        with self._lock:
            if self.process is not None and self.process.poll() is None:
                # To the main process alone: Celery's and gunicorn's children end when theirs tells them to.
                self._signal_group(signal.SIGCONT)
                self.process.terminate()

    def kill(self) -> None:
        with self._lock:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, sig: int) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, sig)


def _exec(command: str) -> str:
    """Without `exec` the shell would stay in between, and take the signals."""
    return command if re.search(r"[;&|]|\bexec\b", command) else f"exec {command}"
