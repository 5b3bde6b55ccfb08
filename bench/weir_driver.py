"""Starts Weir's workflows through its public functions, one at a time, and reads the outcomes from the rows."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import Any

import django

from bench.driver import PAUSE, TIMEOUT, Answer, Driver

django.setup()

from django.db import connection, transaction  # noqa: E402

from automation import models  # noqa: E402
from automation.durable import starts  # noqa: E402
from automation.durable.client import SyncClient  # noqa: E402

QUEUE = os.environ["WORKFLOW_TASK_QUEUE"]
LOOK_INTERVAL = 0.02
SELDOM = 0.25
START_BATCH = 100


class WeirDriver(Driver):
    """An end counts when it is committed: the execution's row says completed, seen by this process. So the times
    include a last look at the database that the raw peers' do not."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self._pending: list[Any] = []

    def start_sequence(self, steps: int) -> None:
        self._start("bench_sequence", steps)

    def typed_sequences(self, count: int, steps: int = 5) -> Answer:
        return self._all(count, count * steps, lambda: self._start("bench_typed", steps))

    def local_sequences(self, count: int, steps: int = 5) -> Answer:
        return self._all(count, count * steps, lambda: self._start("bench_local", steps))

    def handovers(self, steps: int, count: int) -> Answer:
        """`count` executions, one after the other, each of whose steps is a message of its own."""
        began = time.time()
        for _ in range(count):
            self._start("bench_alone", steps)
            self.settle(self.marks.collect(1, TIMEOUT)[0].at)
        return {"seconds": time.time() - began, "steps": steps * count}

    def signals(self, count: int) -> Answer:
        """So many signals to one execution, one after the other; to the end of the execution that counts them."""
        client = SyncClient()
        handle = client.start_workflow("bench_signals", count, id=f"signals-{time.time()}", task_queue=QUEUE)
        began = time.time()
        for number in range(count):
            handle.signal("number", number)
        sent = time.time()
        handle.result()
        return {"seconds": time.time() - began, "sending": sent - began, "steps": count}

    def bulk(self, count: int, batch: int = 500) -> Answer:
        """Start executions, so many to a call; and wait until all have ended."""
        began = time.time()
        for position in range(0, count, batch):
            new = [
                starts.NewExecution(definition="bench_nothing", args=(number,))
                for number in range(position, min(position + batch, count))
            ]
            self._pending += starts.start_many(new)
        started = time.time()
        finished = self.settle(0.0)
        return {"seconds": finished - began, "starting": started - began, "steps": count}

    def start_chord(self, size: int) -> None:
        self._start("bench_chord", size)

    def start_sleeper(self, due: float) -> None:
        self._start("bench_sleeper", due)

    def _start(self, definition: str, argument: float) -> None:
        self._pending += starts.start_many([starts.NewExecution(definition=definition, args=(argument,))])

    def settle(self, finished: float) -> float:
        """Wait until all that was started has ended; the time of the look that saw it, or of the last end if earlier
        looks were further apart."""
        ids, self._pending = self._pending, []
        deadline = time.monotonic() + TIMEOUT
        # A look at thousands of rows takes milliseconds itself.
        interval = 0.0 if len(ids) == 1 else LOOK_INTERVAL if len(ids) <= 1000 else SELDOM
        while True:
            ended, failed, last = self._look(ids)
            seen = time.time()
            if failed:
                raise RuntimeError(f"{failed} of {len(ids)} executions did not complete: {self._failures(ids)}")
            if ended == len(ids):
                return seen if len(ids) == 1 else max(finished, last.timestamp() if last else 0.0)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{ended} of {len(ids)} executions had ended after {TIMEOUT:g} s")
            time.sleep(interval)

    def _look(self, ids: list[Any]) -> tuple[int, int, dt.datetime | None]:
        self.looks += 1
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FILTER (WHERE status NOT IN ('pending', 'running')),"
                " count(*) FILTER (WHERE status NOT IN ('pending', 'running', 'completed')), max(completed_at)"
                " FROM automation_workflowexecution WHERE id = ANY(%s)",
                [ids],
            )
            row: tuple[int, int, dt.datetime | None] = cursor.fetchone()
            return row

    def _failures(self, ids: list[Any]) -> list[Any]:
        failed = models.WorkflowExecution.objects.filter(id__in=ids).exclude(status="completed")
        return list(failed.values_list("status", "error_message", "failure")[:3])

    def sequences(self, count: int, steps: int = 5) -> Answer:
        self.looks = 0
        answer = super().sequences(count, steps)
        return answer | {"looks": self.looks}

    def long(self, steps: int = 1000) -> Answer:
        """Beside the whole: seconds per step over the first and over the last hundred."""
        answer = super().long(steps)
        execution = models.WorkflowExecution.objects.filter(definition="bench_sequence").latest("created_at")
        times = execution.steps.order_by("seq").values_list("completed_at", flat=True)
        ends = [at.timestamp() for at in times if at is not None]
        if len(ends) != steps:
            raise RuntimeError(f"the execution has {len(ends)} steps, not {steps}")
        return answer | {"first": (ends[100] - ends[0]) / 100, "last": (ends[-1] - ends[-101]) / 100}

    def sleepers(self, count: int, delay: float, *, at_once: bool = True) -> Answer:
        """Lateness is measured to the end of the execution, which its code reaches when it goes on after the sleep;
        that of the timer's own row comes beside it. Started a hundred at a time: how fast is not the question here, and
        all should be asleep well before the first wakes."""
        began = time.time()
        for position in range(0, count, START_BATCH):
            due = (began if at_once else time.time()) + delay
            batch = min(START_BATCH, count - position)
            new = [starts.NewExecution(definition="bench_sleeper", args=(due,)) for _ in range(batch)]
            self._pending += starts.start_many(new)
        started = time.time()
        if at_once and started > began + delay:
            raise TimeoutError(
                f"starting {count} sleepers took {started - began:.1f} s, longer than they were to sleep"
            )
        time.sleep(max(0.0, began + delay - time.time()))
        ids = list(self._pending)
        self.settle(0.0)
        steps = models.ExecutionStep.objects.filter(execution_id__in=ids, kind="timer").values_list(
            "run_at", "completed_at", "execution__completed_at"
        )
        late = [
            ((ended - due).total_seconds(), (fired - due).total_seconds())
            for due, fired, ended in steps
            if due is not None and fired is not None and ended is not None
        ]
        if len(late) != count:
            raise RuntimeError(f"{len(late)} timers were found, not {count}")
        return {
            "starting": started - began,
            "lateness": sorted(whole for whole, _ in late),
            "timer_lateness": sorted(timer for _, timer in late),
        }

    def bookings(self, samples: int) -> Answer:
        """Book, and wait for the first action's start: the latencies from the booking's commit to it."""
        from bench import booking_setup

        event_type = booking_setup.organizer_with_automation()
        latencies = []
        for number in range(samples):
            committed = 0.0

            def note_commit() -> None:
                nonlocal committed
                committed = time.time()

            with transaction.atomic():
                transaction.on_commit(note_commit)  # the first of the functions that the commit calls
                booking = booking_setup.book(event_type, number)
            step = self._first_action(booking)
            latencies.append(step.timestamp() - committed)
            time.sleep(PAUSE)
        return {"latencies": latencies}

    def _first_action(self, booking: models.Booking) -> dt.datetime:
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            execution = models.WorkflowExecution.objects.filter(booking=booking, completed_at__isnull=False).first()
            if execution is not None:
                step = execution.steps.filter(kind="activity").earliest("seq")
                if execution.status != "completed" or step.started_at is None:
                    raise RuntimeError(f"the automation {execution.status}: {execution.error_message}")
                return step.started_at
            time.sleep(0.005)
        raise TimeoutError(f"no automation of booking {booking.pk} ended within {TIMEOUT:g} s")
