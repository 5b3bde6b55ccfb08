"""A visit: what one worker does for one message.

It takes executions over, advances them, and carries each on from step to step while the next step belongs to the same
queue and its time budget lasts (`carrying`). What it cannot carry it writes and sends (`writing`).

If the process dies between any two lines, the rows say what was going on: an execution being advanced has a `worker`
and a `due`, a running step likewise; sweeps find both. If a line raises, `_holding` gives back what this visit holds.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
import uuid
from collections.abc import Iterator, Sequence
from functools import partial

from django.conf import settings

from automation import clock
from automation.durable import (
    canvas,
    children,
    closing,
    errands,
    leases,
    links,
    live_runs,
    local_activities,
    pace,
    releasing,
    states,
)
from automation.durable.carrying import Carrying, have_read
from automation.durable.exceptions import NondeterminismError
from automation.durable.records import Decision, ExecutionRecord, StepRecord
from automation.durable.replay import Run
from automation.models import StepKind

_TO_OTHERS = (str(StepKind.CHILD), str(StepKind.EXTERNAL))

CLOCK_SECONDS = 60.0
"""How long a process goes by what it last read of the database's clock."""

TOGETHER = 25
"""Executions that a visit takes over at once: each is a live run in memory until it is written."""

READ_ON_SECONDS = 0.02
"""Where messages come faster than they are read, so long is waited for more of them, before they are read together by
this visit, which has the live run; another one would have to replay the history first."""


class Visit(Carrying):
    """`queue` is the one whose steps may be carried; `hard_limit` is when Celery ends the process, in seconds from
    now. `chained` says of a link that what follows in its canvas comes with its message's chain: it is made ready here,
    and need not be sent."""

    chained = False

    def __init__(self, queue: str, hard_limit: float, budget: float | None = None) -> None:
        super().__init__(queue)
        started = time.monotonic()
        self.hands_over_at = started + (settings.DURABLE_LINK_BUDGET if budget is None else budget)
        self.killed_at = started + hard_limit
        self.touched: set[uuid.UUID] = set()
        self.begun: set[tuple[uuid.UUID, int]] = set()
        if not clock.synchronized_within(CLOCK_SECONDS):
            leases.synchronize_clock()

    # -- what messages ask for -----------------------------------------------------------------------------------------

    def executions(self, wanted: Sequence[tuple[uuid.UUID, int | None]]) -> int:
        """Advance executions; returns how many were taken over."""
        with self._holding():
            return sum(self._advance(wanted[at : at + TOGETHER]) for at in range(0, len(wanted), TOGETHER))

    def link(
        self, execution: uuid.UUID, seqs: Sequence[int], *, parallel: bool = False, asks: bool = True
    ) -> list[int]:
        """Run steps of one execution, one after the other, or (`parallel`) in whatever order suits; returns those
        handed over. `asks`: find out what follows, which in a chord's header is left to its body."""
        with self._holding():
            self.touched.add(execution)
            last, rest = (links.run_chunk if parallel else links.run_link)(self, execution, seqs)
            if asks and last is not None and not rest:
                self._follow(last)
            return rest

    def join(self, execution: uuid.UUID, head: int) -> None:
        """Let a canvas go on, by what its rows say."""
        with self._holding():
            self._join(execution, head)

    def fire(self, timers: Sequence[tuple[uuid.UUID, int]]) -> int:
        """Fire timers and advance their executions; returns how many fired."""
        now = clock.now()
        woken = self.statements.fire(timers, now, now + dt.timedelta(seconds=settings.DURABLE_LEASE))
        self.executions([(execution, None) for execution in woken])
        return len(woken)

    # -- advancing -----------------------------------------------------------------------------------------------------

    def _advance(self, wanted: Sequence[tuple[uuid.UUID, int | None]], patience: float = 0.0) -> int:
        if not wanted:
            return 0
        self.touched.update(id_ for id_, _ in wanted)
        now = clock.now()
        rows = self.statements.take_over(wanted, self.worker, now, now + dt.timedelta(seconds=settings.DURABLE_LEASE))
        if rows and patience:
            time.sleep(patience)
        self._act_on([pair for row, run, steps in self._prepare(rows) if (pair := self._decide(row, run, steps))])
        return len(rows)

    def _act_on(self, decided: Sequence[tuple[Run, Decision]]) -> None:
        """Carry on what this visit can carry, and write the rest."""
        carried = [(run, decision) for run, decision in decided if self._next_of(decision)]
        others = [(run, decision) for run, decision in decided if not self._next_of(decision)]
        held = self._write(others)
        # An end that was refused for an execution that is still ours: it got a message, which is to be read first.
        self._unread += [run.execution for run, d in others if d.ending and run.execution_id not in held]
        # Executions that came together spread out over the workers again when they turn out, or are known, to be slow.
        spreads_at = time.monotonic() + settings.DURABLE_CHUNK_BUDGET
        for position, (run, decision) in enumerate(carried):
            if self.out_of_time() or (position and time.monotonic() >= spreads_at):
                self._write(carried[position:])
                break
            if pace.is_slow(decision.new[-1].name):
                self._write(carried[position + 1 :])
                self._begin(run, decision)
                break
            self._begin(run, decision)

    def _prepare(
        self, rows: Sequence[ExecutionRecord]
    ) -> Iterator[tuple[ExecutionRecord, Run | None, list[StepRecord]]]:
        """Each execution with its live run, if this process still has it, and the steps that are to be fed."""
        runs = {row.id: live_runs.take(row) for row in rows}
        self._runs.update(run for run in runs.values() if run is not None)
        steps: dict[uuid.UUID, list[StepRecord]] = {row.id: [] for row in rows}
        unknown = [row.id for row in rows if runs[row.id] is None and row.steps]
        wanted = [run.wants() for run in runs.values() if run is not None]
        for step in (
            *(self.statements.load_steps(unknown) if unknown else ()),
            *(self.statements.load_wanted(wanted) if wanted else ()),
        ):
            steps[step.execution_id].append(step)
        # A step that another visit carries was covered by the execution, which is this worker's now.
        uncovered = [id_ for id_, own in steps.items() if any(s.status == "running" and s.due is None for s in own)]
        if uncovered:
            self.statements.watch(uncovered, self.lease())
        for row in rows:
            yield row, runs[row.id], steps[row.id]

    def _decide(self, row: ExecutionRecord, run: Run | None, steps: list[StepRecord]) -> tuple[Run, Decision] | None:
        try:
            if run is None:
                run = self._run_of(row)
                seen = run.replay(steps)
            else:
                run.execution = row
                try:
                    seen = run.catch_up(steps)
                except NondeterminismError:  # only the whole history tells whether the code fits it
                    run.close()
                    run = self._run_of(row)
                    seen = run.replay(self.statements.load_steps([row.id]))
            decision = self._decision_of(run, seen)
            if left := [step.seq for step in steps if step.kind in _TO_OTHERS and errands.is_left(step)]:
                decision.errands = [*decision.errands, *left]
            return run, decision
        except (NondeterminismError, Exception) as error:
            # Whatever the code does wrong is its own execution's matter, not the others' of this visit.
            self._park(row, run, error)
            return None

    def _run_of(self, row: ExecutionRecord) -> Run:
        run = Run(row)
        self._runs.add(run)
        return run

    def _decision_of(self, run: Run, seen: list[tuple[int, int]]) -> Decision:
        """What the code has asked for, once it has what it needs at once."""
        if run.at_once:
            seen = [*seen, *local_activities.run_pending(self, run)]
        decision = run.decide(seen)
        if run.has_children and any(step.child is not None for step in decision.new):
            decision.effects = [*decision.effects, partial(children.start, run.execution, decision.new)]
        if decision.ending is not None:
            closing.plan(run.execution, decision, run.has_children)
        return decision

    def _go_on(self) -> None:
        """What is left to do after the writes: answers that code waits for, messages to other executions, and messages
        that came while this visit decided."""
        while self._unanswered or self._errands or self._unread:
            if not self._unanswered and self._unread:
                self._read_on()
                continue
            if not self._unanswered:
                execution, seq = self._errands.popleft()
                if errands.run(execution, seq):
                    self._advance([(execution, None)])
                continue
            run, decision = self._unanswered.popleft()
            try:
                self._act_on([(run, self._decision_of(run, children.answer(run, decision)))])
            except (NondeterminismError, Exception) as error:
                self._park(run.execution, run, error)

    def _read_on(self) -> None:
        """Read what came while this visit decided: its sender saw that somebody was at it, and woke nobody."""
        unread, self._unread = self._unread, []
        if self.out_of_time():
            for execution in unread:
                have_read(execution)
        else:
            self._advance([(execution.id, execution.epoch) for execution in unread], READ_ON_SECONDS)

    # -- canvases -----------------------------------------------------------------------------------------------------

    def _follow(self, step: StepRecord) -> None:
        """What the outcomes of a link lead to."""
        if step.canvas is None:
            self._advance([(step.execution_id, None)])
        else:
            self._join(step.execution_id, step.canvas)

    def _join(self, execution: uuid.UUID, head: int) -> None:
        now = clock.now()
        progress = states.progress(execution, head, now)
        if progress.ended:
            self._advance([(execution, None)])
        elif progress.ready and not self.chained:
            canvas.segment(execution, head, progress.ready, now)

    # -- when a line raises --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        try:
            yield
            if self._unanswered or self._errands or self._unread:
                self._go_on()
        except BaseException as error:
            for run in list(self._runs):
                run.close()
            live_runs.drop(self.touched)
            releasing.release(self.touched, self.worker, self.begun, blameless=releasing.is_blameless(error))
            raise
