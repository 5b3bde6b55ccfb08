"""Restart: a new execution that begins with a copy of another one's first steps.

The moment at which the other one's code asked for `from_step` is found by replay. What had been seen by then is copied
with its order, so the new execution's code comes to the same place; of what was under way, finished work is kept and
counts as news, the rest is done again. Signals that came later are delivered again; updates and requests to cancel have
had their answers, and are not.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from automation import clock
from automation.durable import canvas, options, payloads, queries, registry, run_options, starts, statements, states
from automation.durable.endings import Parked
from automation.durable.exceptions import NondeterminismError
from automation.durable.records import ExecutionRecord, StepRecord
from automation.durable.replay import Run
from automation.errors import Conflict, InvalidInput, NotFound
from automation.models import (
    ENDED_STEP_STATUSES,
    OPEN_STATUSES,
    ExecutionStatus,
    ExecutionStep,
    StepKind,
    StepStatus,
    WorkflowExecution,
)
from automation.models.ids import uuid7

_OF_OTHERS = (StepKind.CHILD, StepKind.EXTERNAL)


def restart(execution: uuid.UUID, *, from_step: int | None = None, args: Sequence[Any] | None = None) -> uuid.UUID:
    """Start a new execution of the same workflow, under the same workflow id, with a copy of the steps before
    `from_step` (a seq; None: from the beginning); with other arguments where `args` gives them. Returns its id.

    Raises NotFound; InvalidInput for a step that there is not; Conflict when the execution is still open, its workflow
    id is in use, or its code does not come to that step any more.
    """
    with transaction.atomic():
        row = states.lock(execution)
        if row is None:
            raise NotFound(f"there is no execution {execution}")
        if row.status in OPEN_STATUSES:
            raise Conflict(f"execution {execution} is {row.status}: cancel or terminate it before you restart it")
        try:
            with transaction.atomic():
                return _restart(row, from_step, args)
        except IntegrityError as error:
            raise Conflict(
                f"workflow id {row.business_id!r} is in use by another execution that is open; end that one first"
            ) from error


def _restart(row: WorkflowExecution, from_step: int | None, args: Sequence[Any] | None) -> uuid.UUID:
    now = clock.now()
    place = f"arguments of workflow {row.definition!r}"
    text = row.input if args is None else payloads.encode(list(args), place)
    stated = replace(run_options.parse(row.options), restart_of=str(row.id), attempt=1, closes_at=None)
    if from_step is None:
        new = replace(
            starts.again(row),
            raw_input=text,
            business_id=row.business_id,
            options=stated,
            parent_id=None,
            parent_seq=None,
            first_run_id=None,
            previous_run_id=None,
        )
        return starts.insert([new], now)[0].id
    steps = statements.current().load_steps([row.id])
    following = _execution(row, text, stated.begun_at(now), now)
    copies = _Copier(row, steps, from_step, now).copies(following.id)
    following.inbox_seq = max((-step.seq for step in copies if step.seq < 0), default=0)
    copies = _fitted(queries.record_of(following), copies, from_step, now)
    following.save(force_insert=True)
    rows = ExecutionStep.objects.bulk_create([ExecutionStep(**step._asdict()) for step in copies], batch_size=500)
    transaction.on_commit(lambda: _send(following, rows, now))
    return following.id


def _execution(
    row: WorkflowExecution, text: str, stated: run_options.RunOptions, now: dt.datetime
) -> WorkflowExecution:
    return WorkflowExecution(
        id=uuid7(),
        namespace=row.namespace,
        business_id=row.business_id,
        definition=row.definition,
        workflow_id=row.workflow_id,
        version_id=row.version_id,
        booking_id=row.booking_id,
        organizer_id=row.organizer_id,
        trigger=row.trigger,
        depth=row.depth,
        status=ExecutionStatus.RUNNING,
        queue=row.queue,
        priority=row.priority,
        due=now + dt.timedelta(seconds=settings.DURABLE_REPUBLISH_MIN),
        reopened=row.reopened + 1,  # its history ends where the code goes on: replay is not to expect more
        options=stated.dump(),
        deadline=stated.deadline(now),
        memo=row.memo,
        search_attributes=row.search_attributes,
        input=text,
        created_at=now,
        started_at=row.started_at,  # the copied history's time begins there
    )


class _Probe(Run):
    """Finds out when the code asked for a step: `cut` is the order of the outcome that it had been told of last."""

    def __init__(self, execution: ExecutionRecord, wanted: int) -> None:
        super().__init__(execution)
        self.wanted = wanted
        self.cut: int | None = None
        self.taken_back: set[int] = set()
        self._told = 0

    def ask(self, *args: Any, **more: Any) -> int:
        if self.next_seq + 1 >= self.wanted and self.cut is None:
            self.cut = self._told
        return super().ask(*args, **more)

    def cancel_step(self, seq: int) -> None:
        if self.cut is None:
            self.taken_back.add(seq)
        super().cancel_step(seq)

    def _feed(self, step: StepRecord) -> None:
        self._told = step.resolved_seq or self._told
        super()._feed(step)


class _Copier:
    def __init__(self, row: WorkflowExecution, steps: Sequence[StepRecord], from_step: int, now: dt.datetime) -> None:
        known = {step.seq: step for step in steps if step.seq > 0}
        if from_step not in known:
            shown = f"1 to {max(known)}" if known else "none"
            raise InvalidInput(f"execution {row.id} has no step #{from_step}; it has {shown}")
        self.steps = steps
        self.now = now
        self.from_step = from_step
        self.head = known[from_step].canvas or from_step
        self.cut, self.taken_back = self._find_cut(row)

    def _find_cut(self, row: WorkflowExecution) -> tuple[int, set[int]]:
        try:
            probe = _Probe(queries.record_of(row), self.head)
        except registry.UnknownName as error:
            raise Conflict(f"execution {row.id} cannot be restarted from a step here: {error}") from error
        try:
            probe.look(self.steps, ended=True, paused=False)
        except (NondeterminismError, Parked) as error:
            if probe.cut is None:
                raise Conflict(
                    f"execution {row.id} cannot be restarted from step #{self.from_step}: its code does not come "
                    f"there any more: {error}"
                ) from error
        finally:
            probe.close()
        if probe.cut is None:
            raise Conflict(f"the code of execution {row.id} does not come to step #{self.from_step} any more")
        return probe.cut, probe.taken_back

    def copies(self, execution: uuid.UUID) -> list[StepRecord]:
        kept = [copy for step in self.steps if (copy := self._copy(step)) is not None]
        return [step._replace(execution_id=execution) for step in self._make_ready(kept)]

    def _copy(self, step: StepRecord) -> StepRecord | None:
        seen = bool(step.resolved_seq) and (step.resolved_seq or 0) <= self.cut
        if step.seq < 0:
            if seen:
                return step._replace(due=None)
            again = step.kind == StepKind.SIGNAL and step.resolved_seq != 0
            return step._replace(resolved_seq=None, due=None, options="") if again else None
        redone = step.seq >= self.from_step
        if redone and (step.canvas is None or step.canvas != self.head):
            return None
        if seen or self._belongs_to_seen(step):
            return step._replace(due=None)
        if step.resolved_seq == 0 and (step.status != StepStatus.CANCELLED or step.seq in self.taken_back):
            return step._replace(due=None)
        passed = step.status == StepStatus.FAILED and step.canvas is not None and not options.parse(step.options).stop
        if not redone and (step.status == StepStatus.COMPLETED or passed):
            return step._replace(resolved_seq=None, due=self.now if step.canvas in (None, step.seq) else None)
        if step.kind in _OF_OTHERS:
            raise Conflict(
                f"step #{step.seq} {step.name!r} ({step.kind}) before #{self.from_step} has not completed, and is "
                f"another execution's matter; restart from step #{step.seq} or an earlier one"
            )
        return step._replace(
            status=str(StepStatus.PENDING),
            attempt=0,
            resolved_seq=None,
            output="",
            failure="",
            run_at=step.run_at if step.kind == StepKind.TIMER else None,
            created_at=self.now,
            started_at=None,
            completed_at=None,
            worker="",
            heartbeat="",
            due=self.now,
        )

    def _belongs_to_seen(self, step: StepRecord) -> bool:
        """A canvas is seen as a whole, at its first member."""
        return step.canvas is not None and any(
            head.seq == step.canvas and head.resolved_seq and head.resolved_seq <= self.cut for head in self.steps
        )

    def _make_ready(self, steps: Iterable[StepRecord]) -> list[StepRecord]:
        """Of each canvas the first unfinished stage is ready; its first member is due in any case, and watches it."""
        steps = list(steps)
        first: dict[int, int] = {}
        for step in steps:
            if step.canvas is not None and step.status == StepStatus.PENDING:
                first[step.canvas] = min(first.get(step.canvas, step.stage), step.stage)
        return [
            step._replace(due=self.now if step.stage == first[step.canvas] or step.seq == step.canvas else None)
            if step.canvas in first and (step.status == StepStatus.PENDING or step.seq == step.canvas)
            else step
            for step in steps
        ]


class _Trial(Run):
    """Finds out what the code takes back on its way through the copy."""

    def __init__(self, execution: ExecutionRecord) -> None:
        super().__init__(execution)
        self.taken_back: set[int] = set()

    def cancel_step(self, seq: int) -> None:
        self.taken_back.add(seq)
        super().cancel_step(seq)


def _fitted(
    execution: ExecutionRecord, copies: Sequence[StepRecord], from_step: int, now: dt.datetime
) -> list[StepRecord]:
    """Replay the copy, before it is written: other arguments may lead the code elsewhere. What the code takes back by
    itself, when it has come to where it goes on, is not done again."""
    trial = _Trial(execution)
    try:
        trial.replay(copies, news=False)
        asked = trial.next_seq
    except (NondeterminismError, Parked) as error:
        raise Conflict(
            f"with this input and this code the steps before #{from_step} are not what was done: {error}. Restart "
            "from an earlier step, or from the beginning"
        ) from error
    finally:
        trial.taken_back, taken_back = set(), trial.taken_back  # closing it cancels all that is left
        trial.close()
    last = max((step.seq for step in copies), default=0)
    if asked < last:
        raise Conflict(
            f"with this input and this code step #{last} is not asked for any more: the steps before #{from_step} are "
            "not what was done. Restart from an earlier step, or from the beginning"
        )
    return [
        step._replace(status=str(StepStatus.CANCELLED), resolved_seq=0, due=None, completed_at=now)
        if step.status == StepStatus.PENDING and (step.seq in taken_back or step.canvas in taken_back)
        else step
        for step in copies
    ]


def _send(row: WorkflowExecution, steps: Sequence[ExecutionStep], now: dt.datetime) -> None:
    canvas.visit([(row.id, row.epoch)], row.queue, priority=row.priority)
    ready = [
        step
        for step in steps
        if step.kind == StepKind.ACTIVITY and step.status == StepStatus.PENDING and step.due is not None
    ]
    canvas.parallel(row.id, ready, now)
    for head in {step.canvas for step in steps if step.canvas is not None and step.status not in ENDED_STEP_STATUSES}:
        canvas.join(row.id, head or 0, row.queue)
