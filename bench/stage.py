"""The machinery of a run: PostgreSQL, Redis, and one contender at a time with its workers and its driver.

Everything is a child of this process, is ended in order when a block is left for whatever reason, and is ended by
the kernel should this process be killed.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg
import redis

from bench import usage
from bench.marks import VARIABLE
from project.embedded import PostgresServer, RedisServer, Server, die_with_parent

ROOT = Path(__file__).resolve().parent.parent
CONTENDERS = ("raw", "tuned", "results", "weir")
QUEUE = "estuary-workflows"
PATIENCE = 400.0
_INHERITED = "DJANGO_SETTINGS_MODULE"  # set by importing `project`; the raw peers run without Django


class StageError(RuntimeError):
    """A contender did not do what it was asked; the message says which, what it answered, and ends its logs."""


@dataclass(frozen=True)
class Command:
    """A process of a contender: a name for its log, and what to run after `python`."""

    name: str
    arguments: Sequence[str]
    is_worker: bool = True


def commands(contender: str, *, solo: bool, processes: int = 2) -> list[Command]:
    """The processes of a contender: one worker of `processes` processes, or as many solo workers of one."""
    app = {"weir": "project"}.get(contender, "bench.raw.app")
    flags = ["--loglevel", "WARNING"]
    if contender == "tuned":
        flags += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    if contender == "weir":
        flags += ["--without-gossip", "--without-mingle", "-Q", QUEUE]
    pools = [["-P", "solo"]] * processes if solo else [["-P", "prefork", "-c", str(processes)]]
    found = [
        Command(f"worker{number}", ["-m", "celery", "-A", app, "worker", "-n", f"bench{number}@%h", *pool, *flags])
        for number, pool in enumerate(pools, 1)
    ]
    if contender == "weir":
        found.append(
            Command("beat", ["-m", "celery", "-A", app, "beat", "--loglevel", "WARNING"], is_worker=False),
        )
    return found


class Process(Server):
    """A Python process with an environment of its own; it counts as ready when it has been started."""

    def __init__(
        self, directory: Path, command: Command, environment: dict[str, str], wrapper: Sequence[str] = ()
    ) -> None:
        super().__init__(directory)
        self.name = command.name
        self.log = directory / f"{command.name}.log"
        self.is_worker = command.is_worker
        self._arguments = [*wrapper, *command.arguments]
        self._environment = environment

    def command(self) -> Sequence[str]:
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        return ["/usr/bin/env", "-u", _INHERITED, *variables, sys.executable, *self._arguments]

    def is_ready(self) -> bool:
        return True


@dataclass
class Round:
    """An answer, and what it cost: CPU seconds by part, and by how many bytes the workers' memory grew."""

    answer: dict[str, Any]
    cpu: dict[str, float] = field(default_factory=dict)
    memory_growth: int = 0

    @property
    def steps(self) -> int:
        return int(self.answer["steps"])

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.steps / float(self.answer["seconds"])

    @property
    def worker_cpu(self) -> float:
        """CPU seconds of the workers per 1,000 steps."""
        return 1000 * self.cpu["workers"] / self.steps

    @property
    def total_cpu(self) -> float:
        """CPU seconds of workers, beat, PostgreSQL and Redis per 1,000 steps; the starter's are not in it."""
        return 1000 * sum(value for name, value in self.cpu.items() if name != "driver") / self.steps


class Contender:
    """A contender whose workers run; `ask` has its driver do something."""

    def __init__(self, name: str, driver: subprocess.Popen[str], processes: list[Process], stage: Stage) -> None:
        self.name = name
        self._driver = driver
        self._processes = processes
        self._stage = stage

    @property
    def worker_pids(self) -> list[int]:
        return [process.pid for process in self._processes if process.is_worker]

    def ask(self, what: str, *, watch_memory: bool = False, **arguments: Any) -> Round:
        """Have the driver do `what` and measure it. Raises StageError when it fails or a worker ends."""
        with ExitStack() as stack:
            watch = stack.enter_context(usage.MemoryWatch(self.worker_pids)) if watch_memory else None
            before = self._cpu()
            answer = self._ask(what, arguments)
            after = self._cpu()
        return Round(
            answer,
            {part: after[part] - before[part] for part in after},
            watch.growth if watch else 0,
        )

    def _cpu(self) -> dict[str, float]:
        return {
            "workers": sum(usage.cpu(pid) for pid in self.worker_pids),
            "beat": sum(usage.cpu(process.pid) for process in self._processes if not process.is_worker),
            "postgres": usage.cpu(self._stage.postgres.pid),
            "redis": usage.cpu(self._stage.redis.pid),
            "driver": usage.cpu(self._driver.pid),
        }

    def _ask(self, what: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        print(json.dumps({"do": what, **arguments}), file=self._driver.stdin, flush=True)
        deadline = time.monotonic() + PATIENCE
        while not select.select([self._driver.stdout], [], [], 1.0)[0]:
            for process in self._processes:
                if not process.is_running:
                    raise StageError(f"{self.name}: {process.name} ended while asked for {what}:\n{process.log_tail()}")
            if time.monotonic() > deadline:
                raise StageError(f"{self.name}: no answer to {what} within {PATIENCE:g} s\n{self.logs()}")
        line = self._driver.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the driver ended"}
        if "error" in answer:
            raise StageError(f"{self.name}: {what} failed: {answer['error']}\n{self.logs()}")
        return answer

    def logs(self) -> str:
        tails = [f"--- {process.name}\n{process.log_tail(30)}" for process in self._processes]
        driver = (self._stage.directory / self.name / "driver.log").read_text(errors="replace").splitlines()[-30:]
        return "\n".join([*tails, "--- driver", *driver])


class Stage:
    """PostgreSQL (commits reach the disk) and Redis (append-only file), for as long as the block runs."""

    def __init__(self, *, solo: bool = False, workers: int = 2) -> None:
        self.solo = solo
        self.workers = workers
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = Path(tempfile.mkdtemp(prefix="weir-bench-"))
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            self.directory.chmod(0o711)  # under root, PostgreSQL runs as somebody else, who must get to his data
            self.postgres = stack.enter_context(PostgresServer(self.directory / "postgres", fsync=True))
            self.redis = stack.enter_context(RedisServer(self.directory / "redis"))
            with self.connection("postgres") as connection:
                connection.execute("CREATE DATABASE results")
                self.server_version = connection.info.server_version
            with redis.Redis.from_url(self.redis.url) as client:
                self.redis_version = str(client.info("server")["redis_version"])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def connection(self, database: str = PostgresServer.database) -> Iterator[psycopg.Connection[Any]]:
        """An autocommitting connection to one of the databases."""
        with psycopg.connect(self.postgres.url_of(database), autocommit=True) as connection:
            yield connection

    def environment(self, contender: str) -> dict[str, str]:
        """What the contender's processes find in their environment, beside this process's own."""
        redis = self.redis.url
        common = {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "BENCH_CONTENDER": contender,
            "BENCH_REDIS": redis,
            VARIABLE: str(self.directory / contender / "marks"),
        }
        if contender == "weir":
            common |= {
                "DJANGO_SETTINGS_MODULE": "bench.settings",
                "DATABASE_URL": self.postgres.url,
                "REDIS_URL": redis,
                "CELERY_BROKER_URL": redis,
                "CELERY_RESULT_BACKEND": redis,
                "WEIR_VAR_DIR": str(self.directory / "var"),
                "TASK_QUEUE_PREFIX": QUEUE.removesuffix("-workflows"),
                "WORKFLOW_TASK_QUEUE": QUEUE,
                "LOG_LEVEL": "WARNING",
            }
        if contender == "results":
            common |= {
                "DJANGO_SETTINGS_MODULE": "bench.raw.settings",
                "DATABASE_URL": self.postgres.url_of("results"),
            }
        return common

    def prepare(self, contenders: Sequence[str]) -> None:
        """Make the tables of those contenders that have some, and Weir's periodic tasks: what a release does."""
        for contender in contenders:
            if "DJANGO_SETTINGS_MODULE" in self.environment(contender):
                self._manage(contender, "migrate", "--skip-checks", "--verbosity", "0")
        if "weir" in contenders:
            self._manage("weir", "sync_schedules")

    def _manage(self, contender: str, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            check=False,
            cwd=self.directory,
            env={**os.environ, **self.environment(contender)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise StageError(f"{contender}: {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")

    def analyze(self) -> None:
        """Have the planner know the rows that are there now, in every database."""
        for database in (PostgresServer.database, "results"):
            with self.connection(database) as connection:
                connection.execute("VACUUM ANALYZE")

    @contextmanager
    def contender(self, name: str, *, profile_to: Path | None = None) -> Iterator[Contender]:
        """Start a contender's workers and its driver. They are warm after the first thing they were asked."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        self.redis.flush()  # no message of an earlier turn
        self.analyze()
        environment = self.environment(name)
        with ExitStack() as stack:
            log = stack.enter_context((directory / "driver.log").open("w"))
            driver = subprocess.Popen(
                [sys.executable, "-m", "bench.driver", name],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if name != _INHERITED} | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 (no thread runs between a fork and its exec here)
            )
            stack.callback(_end, driver)
            processes: list[Process] = []
            for command in commands(name, solo=self.solo, processes=self.workers):
                wrapper = ["-m", "bench.profiling", str(profile_to)] if profile_to and command.is_worker else []
                process = Process(directory, command, environment, wrapper)
                processes.append(stack.enter_context(process))
            yield Contender(name, driver, processes, self)


def _end(driver: subprocess.Popen[str]) -> None:
    if driver.stdin is not None:
        driver.stdin.close()  # it ends with its input
    try:
        driver.wait(2)
    except subprocess.TimeoutExpired:
        driver.kill()
        driver.wait()
    if driver.stdout is not None:
        driver.stdout.close()
