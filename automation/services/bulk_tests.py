"""Trying many workflows with many bookings: at once where they are few, else as an execution of the engine.

Nothing is sent in either. A large one survives its workers: the pairs that were tried are rows, and the engine runs the
rest. Its pairs are numbered: workflow by workflow, and within one booking by booking.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet

from automation import bulk_testing, clock
from automation.durable import control, payloads, starts
from automation.errors import Conflict, InvalidInput, WeirError
from automation.models import (
    OPEN_STATUSES,
    Booking,
    BulkTest,
    BulkTestResult,
    ExecutionStatus,
    TestType,
    User,
    Workflow,
)
from automation.services import trials
from automation.services.trials import FAILS, Subject, Trial

logger = logging.getLogger(__name__)

AT_ONCE = 20
"""Pairs that are answered in the request itself."""
MAX_PAIRS = 20_000
SAVED_AT_ONCE = 5
"""Results that are written together."""
KEEP = dt.timedelta(days=30)


@dataclass
class Finished:
    """A small bulk test, tried at once: nothing of it is kept."""

    test_type: str
    results: list[BulkTestResult] = field(default_factory=list)


def start(
    by: User,
    *,
    test_type: str,
    workflow_ids: Sequence[UUID] = (),
    booking_ids: Sequence[UUID] = (),
    last_bookings: int | None = None,
    draft: bool = False,
) -> BulkTest | Finished:
    """Try these workflows (without any: all active ones of `by`), each with an invented booking, or with each of these
    bookings or of the newest. Staff may name anybody's. Raises InvalidInput by field for what is not theirs or too
    much."""
    workflows = _workflows(by, workflow_ids)
    bookings = _bookings(by, test_type, booking_ids, last_bookings)
    pairs = len(workflows) * max(1, len(bookings))
    if pairs > MAX_PAIRS:
        many = f"{len(workflows)} workflows with {len(bookings)} bookings make {pairs:,} trials"
        raise InvalidInput(
            "That is too much for one bulk test.", {"workflow_ids": [f"{many}; at most {MAX_PAIRS:,} run in one."]}
        )
    test = BulkTest(
        organizer=by,
        test_type=test_type,
        workflow_ids=[str(id_) for id_ in workflows],
        booking_ids=[str(id_) for id_ in bookings],
        draft=draft,
        total=pairs,
    )
    if pairs <= AT_ONCE:
        found = _Pairs(test, range(pairs))
        return Finished(test_type, [found.tried(position) for position in range(pairs)])
    with transaction.atomic():
        test.save()
        (test.execution_id,) = starts.start_many(
            [
                starts.NewExecution(
                    bulk_testing.DEFINITION, (str(test.pk), pairs), queue=settings.WORKFLOW_BACKGROUND_QUEUE
                )
            ]
        )
        test.save(update_fields=["execution"])
    return test


def run_chunk(bulk_test_id: str, first: int, last: int) -> int:
    """Try the pairs from `first` up to, and without, `last`, where that was not done yet; returns how many were."""
    test = BulkTest.objects.filter(pk=bulk_test_id).first()
    if test is None:
        return 0  # deleted meanwhile: nobody waits for it
    done = set(test.results.filter(position__gte=first, position__lt=last).values_list("position", flat=True))
    left = [position for position in range(first, last) if position not in done]
    pairs = _Pairs(test, left)
    for start in range(0, len(left), SAVED_AT_ONCE):
        results = [pairs.tried(position) for position in left[start : start + SAVED_AT_ONCE]]
        # Two attempts at once: the first one's rows stand. An attempt that is cut short has not tried for nothing.
        BulkTestResult.objects.bulk_create(results, ignore_conflicts=True)
    return len(left)


def with_progress(rows: QuerySet[BulkTest]) -> QuerySet[BulkTest]:
    """The tests with `done` and `failed` counted, and their executions at hand."""
    return rows.select_related("execution").annotate(
        done=Count("results"), failed=Count("results", filter=Q(results__passed=False))
    )


def status_of(test: BulkTest, done: int) -> str:
    """Its execution's status; where that has been cleaned up, whether all was tried."""
    if test.execution is not None:
        return test.execution.status
    return ExecutionStatus.COMPLETED if done >= test.total else ExecutionStatus.CANCELLED


def stop(test: BulkTest) -> None:
    """Try nothing further; what was tried stays. Raises Conflict where it has ended."""
    if test.execution is None or test.execution.status not in OPEN_STATUSES:
        raise Conflict(f"The bulk test {test.pk} has ended already.")
    control.cancel(test.execution.pk, "Stopped by the person who had started it.")


def forget_old(older_than: dt.timedelta = KEEP) -> int:
    """Delete the bulk tests made longer ago; returns how many."""
    old = BulkTest.objects.filter(created_at__lt=clock.now() - older_than)
    ids = list(old.values_list("pk", flat=True)[:1_000])
    BulkTestResult.objects.filter(bulk_test_id__in=ids).delete()
    BulkTest.objects.filter(pk__in=ids).delete()
    return len(ids)


def _workflows(by: User, ids: Sequence[UUID]) -> list[UUID]:
    rows = Workflow.objects.all() if by.is_staff else Workflow.objects.filter(organizer=by)
    if not ids:
        found = list(Workflow.objects.filter(organizer=by, is_active=True).order_by("name", "pk").values_list("pk"))
        if not found:
            raise InvalidInput("There is nothing to test.", {"workflow_ids": ["You have no active workflow."]})
        return [id_ for (id_,) in found]
    wanted = list(dict.fromkeys(ids))
    _refuse_unknown("workflow_ids", wanted, set(rows.filter(pk__in=wanted).values_list("pk", flat=True)))
    return wanted


def _bookings(by: User, test_type: str, ids: Sequence[UUID], last: int | None) -> list[UUID]:
    if test_type == TestType.MOCK_DATA:
        return []
    if last is not None:
        newest = Booking.objects.filter(organizer=by).order_by("-created_at", "-pk")[:last]
        found = list(newest.values_list("pk", flat=True))
        if not found:
            raise InvalidInput("There is nothing to test with.", {"last_bookings": ["You have no booking yet."]})
        return found
    rows = Booking.objects.all() if by.is_staff else Booking.objects.filter(organizer=by)
    wanted = list(dict.fromkeys(ids))
    _refuse_unknown("booking_ids", wanted, set(rows.filter(pk__in=wanted).values_list("pk", flat=True)))
    return wanted


def _refuse_unknown(name: str, wanted: Sequence[UUID], there: set[UUID]) -> None:
    problems = {
        f"{name}[{index}]": [f"There is no {id_}, or it belongs to somebody else."]
        for index, id_ in enumerate(wanted)
        if id_ not in there
    }
    if problems:
        raise InvalidInput("Not everything that is to be tested is there.", problems)


class _Pairs:
    """What these pairs of a test are about, read in a number of queries for each workflow and one for the bookings."""

    def __init__(self, test: BulkTest, positions: Sequence[int]) -> None:
        self._test = test
        self._width = max(1, len(test.booking_ids))
        workflow_ids = {self._workflow_id(position) for position in positions}
        workflows = Workflow.objects.filter(pk__in=workflow_ids).select_related("organizer")
        self._subjects = {str(row.pk): trials.subject_of(row, draft=test.draft) for row in workflows}
        booking_ids = {id_ for position in positions if (id_ := self._booking_id(position)) is not None}
        bookings = Booking.objects.filter(pk__in=booking_ids).select_related("event_type", "organizer")
        self._bookings: dict[str | None, Booking] = {str(row.pk): row for row in bookings}

    def tried(self, position: int) -> BulkTestResult:
        workflow_id, booking_id = self._workflow_id(position), self._booking_id(position)
        subject = self._subjects.get(workflow_id)
        passed, result = _outcome(subject, booking_id, self._bookings.get(booking_id))
        return BulkTestResult(
            bulk_test=self._test,
            position=position,
            workflow_id=UUID(workflow_id),
            workflow_name="" if subject is None else subject.workflow.name,
            booking_id=UUID(booking_id) if booking_id else None,
            passed=passed,
            result=result,
        )

    def _workflow_id(self, position: int) -> str:
        return str(self._test.workflow_ids[position // self._width])

    def _booking_id(self, position: int) -> str | None:
        return str(self._test.booking_ids[position % self._width]) if self._test.booking_ids else None


def _outcome(subject: Subject | None, booking_id: str | None, booking: Booking | None) -> tuple[bool, dict[str, Any]]:
    if subject is None:
        return False, {"error": "The workflow has been deleted."}
    if booking_id is not None and booking is None:
        return False, {"error": "The booking has been deleted."}
    if booking is not None and booking.organizer_id != subject.workflow.organizer_id:
        return False, {"error": "The booking is another organizer's."}
    try:
        trial = trials.try_mock(subject) if booking is None else trials.try_real(subject, booking, ask=False)
    except WeirError as error:
        return False, {"error": error.message}
    except Exception as error:
        # One pair that nobody foresaw keeps the others from nothing.
        logger.exception("bulk test: workflow %s with booking %s", subject.workflow.pk, booking_id)
        return False, {"error": f"{type(error).__name__}: {error}"}
    return trial.passed, in_short(trial)


def in_short(trial: Trial) -> dict[str, Any]:
    """A trial without its rendered content, in JSON's types."""
    short = {
        "timing": trial.timing.as_dict(),
        "remarks": trial.remarks,
        "actions": [
            {
                "action_id": action.action_id,
                "name": action.name,
                "status": action.status,
                "recipients": action.recipients,
                "problems": action.problems if action.status == FAILS else [],
                "fallbacks": action.fallbacks,
            }
            for action in trial.actions
        ],
        "duration_ms": trial.duration_ms,
    }
    plain: dict[str, Any] = payloads.decode(payloads.encode(short))
    return plain
