"""A broker and its workers inside the test's process, under the test's command.

`Carrier` takes the place of `canvas._publish`: it keeps what would be published, and delivers it to simulated workers
(each with its own name and its own cache of live runs) in the order, as often and as reliably as its `Faults` say.
Workers can die at every named point: before and after each hot statement, before and after each publish, and around
each attempt of an activity; with `queries`, sweeps, clients and workers alike before and after every single query.
Time is moved forward to what is due next, and real sweeps rebuild what was lost.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import os
import random
import re
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Task, signature
from django.conf import settings
from django.db import connection
from django.db.models import Min

from automation import clock
from automation.durable import canvas, hooks, live_runs, liveness, recovery, releasing, starts, statements, visits
from automation.durable.runner import Ran
from automation.durable.testing.messages import Message, following, messages_of
from automation.models import OPEN_STATUSES, ExecutionStatus, WorkerHeartbeat, WorkflowExecution
from project.celery import app
from tests.support.consistency import assert_consistent

STATEMENTS = frozenset(name for name in vars(statements.Statements) if not name.startswith("_"))


class Died(BaseException):
    """The simulated worker's process is gone, at this very line."""


class Replaced(Exception):
    """`Task.replace` was called: `signature` takes the message's place in its chain or chord."""

    def __init__(self, replacement: Any) -> None:
        super().__init__(str(replacement))
        self.replacement = replacement


@dataclass
class Faults:
    """What goes wrong. Chances are from 0 to 1; `kill(point)` says whether a worker dies at that point."""

    order: str = "fifo"  # or "random", "lifo"
    copies: int = 1
    loss: float = 0.0
    deaths: float = 0.0
    interleaving: float = 0.0  # at a point, another worker is given a message before this one goes on
    kill: Callable[[str], bool] | None = None
    lose: Callable[[Message], bool] | None = None
    queries: bool = False  # every query is a point
    budget: int = 10_000  # losses and deaths in all: a run whose every message is lost would never end
    seed: int = 0


class _Worker:
    def __init__(self, number: int) -> None:
        self.node = f"carrier-{uuid.uuid4().hex[:8]}-{number}"
        self.cache: OrderedDict[uuid.UUID, Any] = OrderedDict()


class Carrier:
    """See the module. `deliveries` counts what was delivered, by task; `published` what was published."""

    def __init__(self, workers: int = 2) -> None:
        self.faults = Faults()
        self.messages: list[Message] = []
        self.published: list[Message] = []
        self.deliveries: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.deaths: list[str] = []
        self.errors: list[BaseException] = []
        self.sweeps = 0
        self._random = random.Random(0)
        self._number = 0
        self._workers = [self._hire() for _ in range(workers)]
        self._sweeper = self._hire()
        self._client = self._hire()
        self._current: _Worker | None = None
        self._spent = 0
        self._away = False

    # -- what a test says ----------------------------------------------------------------------------------------------

    def under(self, faults: Faults) -> Carrier:
        """Go wrong like this from now on."""
        self.faults = faults
        self._random = random.Random(faults.seed)
        self._spent = 0
        return self

    def start(self, definition: str, *args: Any, **options: Any) -> uuid.UUID:
        return starts.start_many([starts.NewExecution(definition, args, **options)])[0]

    def finish(self, *executions: uuid.UUID, days: float = 400) -> None:
        """Deliver, move time and sweep until these executions (all, if none is named) go on no more; then deliver what
        is left, and check that no row contradicts another."""
        until = clock.timestamp() + days * 86_400
        patience = self.sweeps + 500
        while self.sweeps < patience:
            if self._deliver_next():
                continue
            if not self._open(executions).exists():
                break
            self._move_on(until, executions)
        else:
            raise AssertionError(f"no end in sight:\n{self.story(executions)}")
        self.drain()
        clock.shift(settings.DURABLE_REPUBLISH_MAX + settings.DURABLE_LEASE)
        self.sweep()
        self.drain()
        assert_consistent()

    def drain(self) -> None:
        """Deliver all that can be delivered now, moving no time."""
        while self._deliver_next():
            pass

    def deliver_one(self) -> bool:
        return self._deliver_next()

    def settle(self, *executions: uuid.UUID) -> None:
        """Deliver everything that is on its way, without sweeping: countdowns are waited for."""
        while self.messages:
            if not self._deliver_next():
                clock.shift(max(0.0, min(message.at for message in self.messages) - clock.timestamp()) + 0.001)

    def sweep(self) -> dict[str, int]:
        """Run every sweep once, as a process of its own; one that dies leaves the rest to the next."""
        self._refresh()
        self.sweeps += 1
        try:
            with self._as(self._sweeper):
                report = recovery.sweep()
        except Died:
            self._bury(self._sweeper)
            self._sweeper = self._hire()
            return {}
        assert -1 not in report.values(), f"a sweep raised: {report}"
        return report

    def restart_workers(self) -> None:
        """All workers end; others take their place, with nothing in memory."""
        for position, worker in enumerate(self._workers):
            self._bury(worker)
            self._workers[position] = self._hire()

    def forget_messages(self) -> None:
        """FLUSHALL."""
        self.messages.clear()

    def visit(self) -> visits.Visit:
        """A visit by the first worker, for tests that call its parts."""
        with self._as(self._workers[0]):
            return visits.Visit(settings.WORKFLOW_TASK_QUEUE, 600)

    @contextlib.contextmanager
    def as_worker(self, index: int = 0) -> Iterator[None]:
        """Be one of the workers."""
        with self._as(self._workers[index]):
            yield

    def as_client(self, call: Callable[[], Any]) -> Any:
        """Have a program call the engine, which can die at every point: it is started again until it has got through.
        Returns what the call returned."""
        while True:
            try:
                with self._as(self._client):
                    return call()
            except Died:
                continue

    @contextlib.contextmanager
    def broker_away(self) -> Iterator[None]:
        """Nothing is taken while this lasts."""
        self._away = True
        try:
            yield
        finally:
            self._away = False

    # -- taking what is published --------------------------------------------------------------------------------------

    def publish(self, sig: Any) -> bool:
        """Stands for canvas._publish."""
        self.point("before publish")
        if self._away:
            return False
        for message in messages_of(sig):
            self.published.append(message)
            if self._loses(message):
                continue
            # A copy that was made on the wire is an independent message, down to its place in a chord.
            self.messages += [copy.copy(message) for _ in range(self.faults.copies)]
        self.point("after publish")
        return True

    def _loses(self, message: Message) -> bool:
        lost = (self.faults.lose is not None and self.faults.lose(message)) or self._happens(self.faults.loss)
        if lost:
            self._spent += 1
        return lost

    # -- delivering ----------------------------------------------------------------------------------------------------

    def _deliver_next(self) -> bool:
        now = clock.timestamp()
        ready = [index for index, message in enumerate(self.messages) if message.at <= now]
        if not ready:
            return False
        match self.faults.order:
            case "random":
                index = self._random.choice(ready)
            case "lifo":
                index = ready[-1]
            case _:
                index = min(ready, key=lambda i: self.messages[i].at)
        self._deliver(self.messages.pop(index))
        return True

    def _deliver(self, message: Message) -> None:
        free = [worker for worker in self._workers if worker is not self._current]
        worker = self._random.choice(free)
        outer = self._current
        self.deliveries[message.task] += 1
        task = app.tasks[message.task]
        task.push_request(
            id=str(uuid.uuid4()),
            args=message.args,
            kwargs={},
            delivery_info={"routing_key": message.queue},
            timelimit=(message.time_limit, None),
            chain=message.rest,
            called_directly=False,
        )
        try:
            with self._as(worker):
                task.run(*message.args)
        except Died:
            if worker in self._workers:
                self._bury(worker)
                self._workers[self._workers.index(worker)] = self._hire()
            return
        except Replaced as replaced:
            for follower in messages_of(replaced.replacement, message.rest, message.chord):
                if not self._loses(follower):
                    self.messages.append(follower)
            return
        except Exception as error:
            self.errors.append(error)  # Celery logs it; what follows in a chain is not sent
            return
        finally:
            self._current = outer
            task.pop_request()
        self._after(message)

    def _after(self, message: Message) -> None:
        self.messages += [one for one in following(message) if not self._loses(one)]

    # -- points --------------------------------------------------------------------------------------------------------

    def point(self, name: str) -> None:
        """A place where a worker can die, and where another can come in between."""
        if self._current is None or (self._current is self._sweeper and not self.faults.queries):
            return
        self.points[name] += 1
        wanted = self.faults.kill is not None and self.faults.kill(name)
        if wanted or self._happens(self.faults.deaths):
            self._spent += 1
            self.deaths.append(name)
            raise Died(name)
        if not connection.in_atomic_block and self._happens(self.faults.interleaving, costs=False):
            self._deliver_next()

    def at_query(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        """Stands around every query of Django's."""
        words = sql.split(maxsplit=1)
        apart = self._current is None or "automation_workerheartbeat" in sql  # the carrier's own books
        if not self.faults.queries or apart or words[0] not in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            return execute(sql, params, many, context)
        table = re.search(r'(?:FROM|INTO|UPDATE) "?(?:automation_)?(\w+)', sql)
        name = f"{words[0]} {table.group(1) if table else ''}"
        self.point(f"before {name}")
        result = execute(sql, params, many, context)
        if words[0] != "SELECT":
            self.point(f"after {name}")
        return result

    def _happens(self, chance: float, *, costs: bool = True) -> bool:
        if not chance or (costs and self._spent >= self.faults.budget):
            return False
        return self._random.random() < chance

    def around_step(self, name: str, execution: uuid.UUID, seq: int, run: Callable[[], Ran]) -> Ran:
        self.point(f"before {name}")
        ran = run()
        self.point(f"after {name}")
        return ran

    # -- workers -------------------------------------------------------------------------------------------------------

    def _hire(self) -> _Worker:
        self._number += 1
        worker = _Worker(self._number)
        WorkerHeartbeat.objects.create(
            id=worker.node,
            node=worker.node,
            hostname="here",
            pid=os.getpid(),
            pids=[os.getpid()],
            started_at=clock.unmoved(),
            seen_at=clock.unmoved(),
        )
        return worker

    def _bury(self, worker: _Worker) -> None:
        WorkerHeartbeat.objects.filter(id=worker.node).update(stopped_at=clock.unmoved(), pids=[])
        with self._as(worker):
            live_runs.forget()

    def _refresh(self) -> None:
        nodes = [worker.node for worker in (*self._workers, self._sweeper, self._client)]
        WorkerHeartbeat.objects.filter(id__in=nodes).update(seen_at=clock.unmoved())

    @contextlib.contextmanager
    def _as(self, worker: _Worker) -> Iterator[None]:
        outer, outer_cache, outer_node = self._current, live_runs._cache, liveness._node_id
        self._current = worker
        live_runs._cache = worker.cache
        liveness.set_node(worker.node)
        try:
            yield
        finally:
            self._current = outer
            live_runs._cache = outer_cache
            liveness.set_node(outer_node)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _open(self, executions: Sequence[uuid.UUID]) -> Any:
        rows = WorkflowExecution.objects.filter(status__in=OPEN_STATUSES, paused_at=None)
        return rows.filter(id__in=executions) if executions else rows

    def _move_on(self, until: float, executions: Sequence[uuid.UUID]) -> None:
        """To when the next thing happens, and sweep."""
        times = [message.at for message in self.messages]
        rows = self._open(())  # one that is waited for may itself wait for another
        times += [
            due.timestamp()
            for due in rows.aggregate(a=Min("due"), b=Min("steps__due", default=None), c=Min("deadline")).values()
            if due is not None
        ]
        times += [
            row.due.timestamp()
            for row in WorkflowExecution.objects.filter(completed_at__isnull=False, due__isnull=False)
        ]
        if not times:
            raise AssertionError(f"nothing is due any more, and there is no end:\n{self.story(executions)}")
        if min(times) > until:
            moment = dt.datetime.fromtimestamp(min(times), dt.UTC)
            raise AssertionError(f"nothing happens before {moment}:\n{self.story(executions)}")
        clock.shift(max(0.0, min(times) - clock.timestamp()) + 0.001)
        self.sweep()

    def story(self, executions: Sequence[uuid.UUID] = ()) -> str:
        """The rows of what is still open, for a failing test's message."""
        lines = [f"deaths: {self.deaths[-10:]}, errors: {self.errors[-3:]!r}, now {clock.now()}"]
        rows = WorkflowExecution.objects.filter(id__in=executions) if executions else self._open(())
        for row in rows[:5]:
            lines.append(
                f"{row.definition} {row.id} {row.status} epoch {row.epoch} due {row.due} worker {row.worker!r} "
                f"{row.error_message}"
            )
            lines += [
                f"   #{step.seq} {step.kind} {step.name} {step.status} attempt {step.attempt} order "
                f"{step.resolved_seq} canvas {step.canvas} stage {step.stage} due {step.due} run_at {step.run_at} "
                f"worker {step.worker!r} {step.failure[:80]}"
                for step in row.steps.all()
            ]
        return "\n".join(lines)


class _Points:
    """The hot statements, with a point before and after each."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def __getattr__(self, name: str) -> Any:
        inner = getattr(_real_current(), name)
        if name not in STATEMENTS:
            return inner

        def call(*args: Any, **options: Any) -> Any:
            self._carrier.point(f"before {name}")
            result = inner(*args, **options)
            self._carrier.point(f"after {name}")
            return result

        return call


_real_current = statements.current


@contextlib.contextmanager
def carrying(workers: int = 2) -> Iterator[Carrier]:
    """Replace the broker by a carrier, and undo it."""
    app.loader.import_default_modules()
    carrier = Carrier(workers)
    kept = (canvas._publish, releasing.release, Task.replace, hooks._step_hook, liveness._node_id)
    release = releasing.release

    def unless_dead(*held: Any, blameless: bool) -> None:
        import sys

        if not isinstance(sys.exc_info()[1], Died):  # the dead give nothing back
            release(*held, blameless=blameless)

    def replace(_task: Task, sig: Any) -> None:
        raise Replaced(signature(sig))

    canvas._publish = carrier.publish  # type: ignore[assignment]
    releasing.release = unless_dead
    Task.replace = replace
    hooks._step_hook = carrier.around_step
    statements.current = lambda: _Points(carrier)  # type: ignore[assignment,return-value]
    try:
        with connection.execute_wrapper(carrier.at_query):
            yield carrier
    finally:
        carrier.faults = Faults()
        carrier.restart_workers()
        canvas._publish, releasing.release, Task.replace, hooks._step_hook, _ = kept  # type: ignore[assignment]
        statements.current = _real_current
        liveness.set_node(kept[-1])
        clock.come_back()


def row(execution: uuid.UUID) -> WorkflowExecution:
    return WorkflowExecution.objects.get(id=execution)


def result(execution: uuid.UUID) -> Any:
    """The result of a completed execution; fails the test with its story otherwise."""
    from automation.durable import payloads

    one = row(execution)
    assert one.status == ExecutionStatus.COMPLETED, f"{one.status}: {one.error_message}\n{one.failure[:2000]}"
    return payloads.decode(one.result)
