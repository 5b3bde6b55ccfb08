"""The in-process carrier behind a test environment: takes what is published, runs it here, and moves time.

Nothing is pretended: visits, statements, activities and sweeps are those of a worker. What is missing is the broker,
other processes, and waiting. Everything happens in the order of its time.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Min

from automation import clock
from automation.durable import canvas, hooks, limits, live_runs, recovery
from automation.durable.options import DEFAULT_START_TO_CLOSE
from automation.durable.runner import Ran
from automation.durable.testing.messages import Message, following, messages_of
from automation.models import OPEN_STATUSES, ExecutionStatus, ExecutionStep, WorkflowExecution, WorkflowSchedule

Publisher = Callable[[Any], bool]

MAX_MOVES = 20_000
"""So often time is moved for one wait: code that sleeps for ever fails its test instead of hanging it."""

POLL_SECONDS = 0.05
"""Where time is not skipped, a wait looks again after at most so long."""


class Stuck(AssertionError):
    """What is waited for will not happen: the message says what there is, and what it waits for."""


class Courier:
    """One environment's broker, worker and clock. `skipping`: time is held, and moved to what is due next."""

    def __init__(self, skipping: bool) -> None:
        self.skipping = skipping
        self.messages: list[Message] = []
        self._publisher: Publisher | None = None
        self._waiter: hooks.WaitHook | None = None
        self._step_hook: hooks.StepHook | None = None
        self._depth = 0
        self._callbacks = 0
        self._delivering = False
        self._apps: set[int] = set()

    # -- standing in for the broker --------------------------------------------------------------------------------

    def install(self) -> None:
        self._publisher = canvas._publish
        canvas._publish = self.publish
        self._waiter = hooks.on_wait(self._happen)
        connection.ensure_connection()
        # Within a test's own transaction nothing is ever committed: what waits for its commit is run by `_commit`.
        self._depth = len(connection.savepoint_ids) if connection.in_atomic_block else -1
        self._callbacks = len(connection.run_on_commit)
        self._step_hook = hooks.step_hook()
        if self._depth >= 0:
            hooks.on_step(self._within_a_savepoint)

    def uninstall(self) -> None:
        if self._publisher is not None:
            canvas._publish = self._publisher  # type: ignore[assignment]
            hooks.on_wait(self._waiter)
            hooks.on_step(self._step_hook)
            self._publisher = None
        self.messages.clear()
        live_runs.forget()

    def publish(self, signature: Any) -> bool:
        """Stands for canvas._publish."""
        self.messages += messages_of(signature)
        return True

    # -- making things happen --------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do all that can be done now, moving no time. What an activity asks for is done after it."""
        while not self._delivering and self._deliver_next():
            pass

    def wait(self, done: Callable[[], bool], until: float | None = None) -> bool:
        """Make things happen until `done()` holds, or until the time `until`; returns whether it holds. Raises Stuck
        when nothing is going to happen any more."""
        self._check_may_wait()
        for _ in range(MAX_MOVES):
            self.settle()
            if done():
                return True
            if not self._move_on(until):
                return False
        raise Stuck(f"no end in sight: time was moved {MAX_MOVES:,} times\n{story()}")

    def _happen(self, _seconds: float) -> None:
        """Stands for a client's waiting: whatever is next happens."""
        self._check_may_wait()
        if self._deliver_next():
            self.settle()
        else:
            self._move_on(None)

    def _check_may_wait(self) -> None:
        if self._delivering:
            raise RuntimeError("an activity cannot wait for what its own worker does: start it, and wait in a workflow")

    def _move_on(self, until: float | None) -> bool:
        """To when the next thing happens, and do what the rows say is due; False when that is after `until`."""
        at, by_rows = self._next()
        if until is not None and (at is None or at > until):
            self._move_to(until)
            return False
        if at is None:
            if self.skipping:
                raise Stuck(f"nothing is due any more, and there is no end in sight\n{story()}")
            at = clock.timestamp() + POLL_SECONDS  # another process may do something
        if not self.skipping:
            at = min(at, clock.timestamp() + POLL_SECONDS)
        self._move_to(at)
        if by_rows:
            self.sweep()
        return True

    def _next(self) -> tuple[float | None, bool]:
        """When the next thing happens, and whether a row says so that no message speaks of."""
        message = min((message.at for message in self.messages), default=None)
        row = _next_due()
        if row is None or (message is not None and message <= row):
            return message, False
        return row, True

    def _move_to(self, at: float) -> None:
        if self.skipping:
            clock.hold(max(at, clock.timestamp()))
        else:
            time.sleep(max(0.0, at - clock.timestamp()))

    def sweep(self) -> None:
        """Run every sweep once."""
        report = recovery.sweep()
        if -1 in report.values():
            raise RuntimeError(f"a sweep failed, see the log: {report}")
        self._commit()

    # -- delivering ------------------------------------------------------------------------------------------------

    def _deliver_next(self) -> bool:
        self._commit()
        now = clock.timestamp()
        ready = [message for message in self.messages if message.at <= now]
        if not ready:
            return False
        message = min(ready, key=lambda message: message.at)
        self.messages.remove(message)
        self._delivering = True
        try:
            self._deliver(message)
        finally:
            self._delivering = False
        return True

    def _deliver(self, message: Message) -> None:
        self._load_tasks(message.app)
        task = message.app.tasks.get(message.task)
        if task is None or getattr(task, "is_activity", False):
            if self._run_link(message):
                return
        else:
            self._run_task(task, message)
        self.messages += following(message)

    def _run_link(self, message: Message) -> bool:
        """Run steps; whether some are left, which go on in this message's place."""
        execution, seqs, kind = message.args
        budget = settings.DURABLE_CHUNK_BUDGET if kind else settings.DURABLE_LINK_BUDGET
        visit = limits.visit(message.queue, message.time_limit or DEFAULT_START_TO_CLOSE, budget)
        visit.chained = bool(message.rest)
        rest = visit.link(uuid.UUID(execution), seqs, parallel=bool(kind), asks=kind != canvas.HEADER)
        if rest:
            message.args = [execution, rest, kind]
            self.messages.append(message)
        return bool(rest)

    def _within_a_savepoint(self, name: str, execution: uuid.UUID, seq: int, run: Callable[[], Ran]) -> Ran:
        """Within a test's own transaction a statement that fails would end it all; in a worker it fails for itself."""
        if not connection.in_atomic_block:
            return run() if self._step_hook is None else self._step_hook(name, execution, seq, run)
        savepoint = transaction.savepoint()
        ran = run() if self._step_hook is None else self._step_hook(name, execution, seq, run)
        if _is_broken():
            transaction.savepoint_rollback(savepoint)
            transaction.set_rollback(False)
        else:
            transaction.savepoint_commit(savepoint)
        return ran

    def _run_task(self, task: Any, message: Message) -> None:
        task.push_request(
            id=str(uuid.uuid4()),
            args=message.args,
            kwargs={},
            delivery_info={"routing_key": message.queue},
            timelimit=(message.time_limit, None),
            called_directly=False,
        )
        try:
            task.run(*message.args)
        finally:
            task.pop_request()

    def _load_tasks(self, app: Any) -> None:
        if id(app) in self._apps:
            return
        # Celery sets Django up again, which takes the handlers away that a test runner has put onto the root logger.
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        app.loader.import_default_modules()
        root.handlers[:] = handlers
        root.setLevel(level)
        self._apps.add(id(app))

    def _commit(self) -> None:
        """Within a test's own transaction: run what waits for the commit of the blocks that have ended since."""
        if self._depth < 0 or not connection.in_atomic_block or len(connection.savepoint_ids) != self._depth:
            return
        while len(connection.run_on_commit) > self._callbacks:
            connection.run_on_commit.pop(self._callbacks)[1]()


def _is_broken() -> bool:
    """Whether the transaction takes no statement any more."""
    if connection.needs_rollback:
        return True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return True
    return False


def _next_due() -> float | None:
    """When a sweep has something to do for an execution that goes on by itself."""
    waiting = {"paused_at": None, "status__in": OPEN_STATUSES}
    executions = WorkflowExecution.objects.filter(**waiting).aggregate(due=Min("due"), deadline=Min("deadline"))
    steps = ExecutionStep.objects.filter(
        due__isnull=False, **{f"execution__{name}": value for name, value in waiting.items()}
    ).aggregate(due=Min("due"))
    schedules = WorkflowSchedule.objects.aggregate(due=Min("due"))
    times: list[dt.datetime] = [
        moment for moment in (*executions.values(), *steps.values(), *schedules.values()) if moment is not None
    ]
    return min(times).timestamp() if times else None


def story(*executions: uuid.UUID) -> str:
    """What the rows say of executions (of all that have not ended, if none is named), for a failing test."""
    unfinished = (*OPEN_STATUSES, ExecutionStatus.PARKED, ExecutionStatus.DEAD_LETTER)
    rows = WorkflowExecution.objects.order_by("id")
    rows = rows.filter(id__in=executions) if executions else rows.filter(status__in=unfinished)
    lines = [f"it is {clock.now():%Y-%m-%d %H:%M:%S.%f}"]
    for row in rows[:5]:
        paused = ", paused" if row.paused_at else ""
        lines.append(f"{row.definition} {row.workflow_id_of_caller}: {row.status}{paused} {row.error_message}".rstrip())
        lines += [
            f"  #{step.seq} {step.kind} {step.name}: {step.status}, attempt {step.attempt}"
            + (f", at {step.run_at:%Y-%m-%d %H:%M:%S}" if step.run_at else "")
            + (f", {step.failure[:300]}" if step.failure else "")
            for step in row.steps.order_by("seq")[:50]
        ]
    return "\n".join(lines)
