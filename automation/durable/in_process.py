"""Carrying executions in threads of this process, without a broker: what waits is found by its rows.

What this process publishes for the queues that it serves wakes its threads, which do what it asks for; the rest goes
out as ever. Rows that others wrote are found by looking, a few times a second. Claims decide who does what, so it does
not matter who else looks.

Threads that run activities are added while all are busy, up to a number. One more only advances executions, and only
while those are busy: activities that wait for a signal, or for a cancellation, do not keep it from being delivered.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections

from automation.durable import activity, canvas, coroutines, limits, presence, readiness, sweeping
from automation.durable.options import DEFAULT_START_TO_CLOSE
from automation.durable.turns import Turn, Turns
from automation.durable.visits import Visit

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
"""How long an idle thread waits before it looks again, unless it is woken."""

THREADS, AT_FIRST, AT_MOST = 16, 4, 64
"""Threads for activities where nobody says how many, of how many there are some from the beginning; and at most, since
each has a connection to the database."""

PATIENCE = 10.0
"""So many seconds after activities have been asked to stop, those that have not are left to themselves."""

_VISIT_LIMIT = DEFAULT_START_TO_CLOSE + canvas.TIME_LIMIT_MARGIN


def slots(wanted: int | None) -> int:
    """How many threads, at most: as many as wanted, else 16; SQLite lets one write at a time."""
    return min(wanted or (1 if connection.vendor == "sqlite" else THREADS), AT_MOST)


class Carrier:
    """Serves `queues` with so many threads, at most, between `start` and the end of `stopping`.

    grace: seconds that running activities get to end by themselves when it stops, before they are asked to.
    """

    def __init__(
        self,
        queues: Sequence[str],
        threads: int,
        on_error: Callable[[BaseException], Any] | None = None,
        grace: float = 0.0,
    ) -> None:
        self._queues = frozenset(queues)
        self._limit = threads
        self._on_error = on_error
        self._grace = grace
        self._publisher: Callable[[Any], bool] = canvas._publish
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._woken = threading.Condition()
        self._wakes = 0
        self._idle = 0
        self._asked: deque[Any] = deque()
        looks = (readiness.executions, readiness.timers, readiness.outcomes, readiness.steps)
        self._turns = Turns()
        self._offers = [readiness.Offer(look, self._queues, LOOK_SECONDS / 2) for look in looks]
        self._visits: dict[int, Visit] = {}
        self._presence = presence.Presence(sorted(self._queues), threads)
        self._reported = self._swept = -1e9
        self._threads: list[threading.Thread] = []
        self._attendant = threading.Thread(target=self._attend, name="carrier-sweeps", daemon=True)

    def start(self) -> None:
        self._presence.enter()
        self._publisher = canvas._publish
        canvas._publish = self._publish
        for _ in range(min(AT_FIRST, self._limit)):
            self._add(self._serve)
        self._add(self._advance)
        self._attendant.start()

    def stopping(self) -> Generator[float, None, None]:
        """Stop; yields seconds to wait until it has. Closed before its end, it leaves at once: its threads end by
        themselves, and what they hold is another worker's to take."""
        self._stopping.set()
        for visit in list(self._visits.values()):
            visit.hands_over_at = 0.0
        self._wake(len(self._threads))
        try:
            while self._attendant.is_alive():
                yield 0.01
        finally:
            self._hurry.set()
            self._leave_alone()
            if canvas._publish == self._publish:  # else another has taken this one's place, and asks it on
                canvas._publish = self._publisher  # type: ignore[assignment]
            while self._asked:
                self._publisher(self._asked.popleft())
            for turn in self._turns.left():
                self._hand_on(turn)

    # -- what is published -----------------------------------------------------------------------------------------

    def _publish(self, signature: Any) -> bool:
        first = _first(signature)
        ours = {canvas.queue_of(one) for one in first} <= self._queues and all(map(canvas.speaks_of_rows, first))
        if self._stopping.is_set() or not ours:
            return self._publisher(signature)
        # A step, or a timer, is found by its row. That an execution should go on, no row may say for a while.
        self._asked.extend(
            one for one in first if one.task in (canvas.VISIT, canvas.JOIN) and not one.options.get("countdown")
        )
        self._wake()
        return True

    def _wake(self, threads: int = 1) -> None:
        for offer in self._offers:
            offer.again()
        with self._woken:
            self._wakes += 1
            self._woken.notify(threads)

    # -- threads ---------------------------------------------------------------------------------------------------

    def _add(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._run, args=(target,), name=f"carrier-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        except activity.LeftAlone:
            logger.warning("an activity has ended after its worker did; it is run again elsewhere")
        finally:
            self._visits.pop(threading.get_ident(), None)
            coroutines.close()
            connections.close_all()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            seen = self._wakes
            if self._guarded(self._turn):
                continue
            with self._woken:
                if self._wakes == seen and not self._stopping.is_set():
                    self._idle += 1
                    self._woken.wait(LOOK_SECONDS)
                    self._idle -= 1

    def _advance(self) -> None:
        """While everybody is busy: see to executions, and let there be one more for activities."""
        while not self._stopping.wait(LOOK_SECONDS):
            while not self._idle and not self._stopping.is_set():
                if not self._guarded(lambda: self._executions(hard_limit=0.0)):  # no time to carry a step
                    break
            if self._idle:
                continue
            if len(self._threads) <= self._limit and self._offers[-1].is_open():
                self._add(self._serve)

    def _attend(self) -> None:
        """Look after rows until it is time to stop; then see that everybody ends."""
        try:
            while not self._stopping.wait(min(LOOK_SECONDS, settings.DURABLE_SWEEP_INTERVAL)):
                self._look_after()
            told, asked = activity.Context.tell_of_shutdown, activity.Context.stop
            if not (self._all_end_within(self._grace, told) or self._all_end_within(PATIENCE, asked)):
                names = ", ".join(sorted(context.info.activity_type for context in self._running()))
                logger.warning("left to themselves, since they do not stop: %s; others take their steps", names)
                self._leave_alone()
        finally:
            self._guarded(self._presence.leave)
            connections.close_all()

    def _look_after(self) -> None:
        """Signs of life, and sweeps: timers, retries, time limits, and what a dead worker left."""
        now = time.monotonic()
        if now - self._reported >= settings.DURABLE_HEARTBEAT_INTERVAL:
            self._reported = now
            self._guarded(self._presence.report)
        if now - self._swept >= settings.DURABLE_SWEEP_INTERVAL:
            self._swept = now
            self._guarded(sweeping.sweep_alone)

    def _all_end_within(self, seconds: float, tell: Callable[[activity.Context], None]) -> bool:
        """Wait for every thread to end what it does, whose activity is told something; whether they have."""
        until = time.monotonic() + seconds
        while any(thread.is_alive() for thread in self._threads):
            for context in self._running():
                tell(context)
            if time.monotonic() >= until or self._hurry.wait(0.01):
                return False
            self._look_after()
        return True

    def _running(self) -> list[activity.Context]:
        return [context for thread in self._threads if (context := activity.running.get(thread.ident or 0)) is not None]

    def _leave_alone(self) -> None:
        for context in self._running():
            context.left_alone = True

    def _guarded(self, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the database is away or refuses: %s; trying again", error)
            connection.close()
            self._stopping.wait(1.0)
        except (Exception, SystemExit) as error:  # an activity that exits ends no thread: what it held is released
            logger.exception("a visit failed; its rows are tried again")
            if self._on_error is not None:
                self._on_error(error)
            self._stopping.wait(LOOK_SECONDS)
        return False

    # -- one turn --------------------------------------------------------------------------------------------------

    def _turn(self) -> bool:
        """Do what is ready; whether there was anything."""
        return any([self._executions(), self._steps()])

    def _executions(self, hard_limit: float = _VISIT_LIMIT) -> bool:
        """Advance executions. `hard_limit`: seconds that a step may take which is carried on the way."""
        executions, timers, outcomes, _ = self._offers
        done = self._asked_for(hard_limit)
        with self._taken(executions) as found:
            for one in found:
                self._visit(one.queue, hard_limit).executions([(one.execution, one.number)])
        with self._taken(timers) as due:
            for one in due:
                self._visit(one.queue, hard_limit).fire([(one.execution, one.number)])
        with self._taken(outcomes) as unseen:
            for one in unseen:
                self._go_on(Turn(one.execution, one.canvas, one.queue), hard_limit)
        return bool(done or found or due or unseen)

    def _steps(self) -> bool:
        # Where there are more than threads for them, several go together, as in a chord's header.
        with self._taken(self._offers[-1], 2 * self._limit) as ready:
            if not ready:
                return False
            first, seqs = ready[0], [one.number for one in ready]
            together = len(seqs) > 1
            visit = self._visit(first.queue, budget=settings.DURABLE_CHUNK_BUDGET if together else None)
            rest = visit.link(first.execution, seqs, parallel=together, asks=False)
        if visit.begun:
            self._go_on(Turn(first.execution, first.canvas, first.queue))
        return len(rest) < len(seqs)

    @contextlib.contextmanager
    def _taken(self, offer: readiness.Offer, share: int = 0) -> Iterator[list[readiness.Found]]:
        """Something that is ready; nothing any more when it is time to stop, since what has just been put back then is
        the next worker's."""
        found = [] if self._stopping.is_set() else offer.take(share)
        try:
            yield found
        finally:
            offer.give_back(found)

    def _asked_for(self, hard_limit: float) -> bool:
        """What this process has published, or wants again."""
        if (turn := self._turns.next()) is not None:
            self._go_on(turn, hard_limit)
            return True
        try:
            signature = self._asked.popleft()
        except IndexError:
            return False
        queue = canvas.queue_of(signature)
        if signature.task == canvas.JOIN:
            execution, head = signature.args
            self._go_on(Turn(uuid.UUID(execution), head, queue), hard_limit)
            return True
        wanted = [(uuid.UUID(id_), epoch) for id_, epoch in signature.args[0]]
        for id_ in [id_ for id_, epoch in wanted if epoch is None]:
            self._go_on(Turn(id_, None, queue), hard_limit)
        if known := [(id_, epoch) for id_, epoch in wanted if epoch is not None]:
            self._visit(queue, hard_limit).executions(known)
        return True

    def _go_on(self, turn: Turn, hard_limit: float = _VISIT_LIMIT) -> None:
        if not self._turns.begin(turn):
            return
        try:
            visit = self._visit(turn.queue, hard_limit)
            if turn.canvas is None:
                visit.executions([(turn.execution, None)])
            else:
                visit.join(turn.execution, turn.canvas)
        finally:
            self._turns.end(turn)

    def _hand_on(self, turn: Turn) -> None:
        """Have whoever serves its queue next take a turn."""
        if turn.canvas is None:
            canvas.visit([(turn.execution, None)], turn.queue)
        else:
            canvas.join(turn.execution, turn.canvas, turn.queue)

    def _visit(self, queue: str, hard_limit: float = _VISIT_LIMIT, budget: float | None = None) -> Visit:
        visit = self._visits[threading.get_ident()] = limits.visit(queue, hard_limit, budget)
        if self._stopping.is_set():
            visit.hands_over_at = 0.0
        return visit


def _first(signature: Any) -> list[Any]:
    """The messages that publishing this sends at once."""
    kind = signature.get("subtask_type")
    if kind == "chain":
        return _first(signature.tasks[0])
    if kind == "chord":
        return [message for member in signature.tasks for message in _first(member)]
    return [signature]
