"""What every runner is: a way to run a command somewhere, with a time limit, and to hear how it went."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, ClassVar

from automation.errors import WeirError

KEPT = 8_000
"""Characters of each output that are kept: the last ones."""

BEAT_SECONDS = 1.0


class RunnerFailed(WeirError):
    """The command could not be run this time: no connection. May pass later."""

    code: ClassVar[str] = "runner_failed"
    status: ClassVar[int] = 502


class RunnerRefused(WeirError):
    """The command cannot be run: the runner is not allowed here, or there is no such program."""

    code: ClassVar[str] = "runner_refused"
    status: ClassVar[int] = 400


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program and its arguments; no shell takes them apart. `timeout` in seconds. `env` is added to the runner's."""

    argv: Sequence[str]
    timeout: float
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    target: str = ""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """`exit_code` is None where the command was ended because its time was up."""

    exit_code: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def summary(self) -> str:
        """Why it did not go well, in a line."""
        last = (self.stderr.strip() or self.stdout.strip()).splitlines()[-1:]
        what = "timed out" if self.exit_code is None else f"exit code {self.exit_code}"
        return f"{what} after {self.seconds:.1f} s{f': {last[0][:300]}' if last else ''}"


class Runner(ABC):
    """Runs commands. Made once per process; `run` may be called by several threads."""

    @abstractmethod
    def argv(self, command: Command) -> Sequence[str]:
        """What is started on this host. Raises RunnerRefused."""

    def check(self, ran: Ran, command: Command) -> Ran:
        """What was run; raises RunnerFailed where the outcome is the runner's own, not the command's."""
        return ran

    def environment(self, command: Command) -> Mapping[str, str]:
        """What the process on this host gets."""
        return {**os.environ, **(command.env or {})}

    def run(self, command: Command, beat: Callable[[], bool] = lambda: False) -> Ran:
        """Run the command to its end, to its timeout, or until `beat`, called each second, says to stop: then it is
        ended with all its children. Raises RunnerFailed and RunnerRefused."""
        ran = execute(
            self.argv(command),
            timeout=command.timeout,
            env=self.environment(command),
            cwd=command.cwd if not command.target else None,
            beat=beat,
        )
        return self.check(ran, command)


def execute(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    beat: Callable[[], bool] = lambda: False,
) -> Ran:
    """Run a program of this host in a process group of its own. Its outputs go to files, so that one that writes much
    and nobody reads does not wait for ever. Raises RunnerRefused where there is no such program or directory."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(  # noqa: S603 (no shell; who may start it is the caller's matter)
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise RunnerRefused(f"{argv[0] if argv else ''!r} cannot be run: {error}") from error
        code: int | None = None
        try:
            while True:
                left = timeout - (time.monotonic() - started)
                try:
                    code = process.wait(min(BEAT_SECONDS, max(0.0, left)))
                    break
                except subprocess.TimeoutExpired:
                    if left <= 0 or beat():
                        break
        finally:
            # What it started goes too, also when it has ended itself: nothing is left running behind our back.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return Ran(exit_code=code, stdout=_tail(stdout), stderr=_tail(stderr), seconds=time.monotonic() - started)


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 4 * KEPT))
    text = file.read().decode("utf-8", "replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[-KEPT:]
