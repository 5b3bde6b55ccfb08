"""Destinations as people see them, and what goes on when one is mended.

The sweep lets one waiting call try each open circuit whose pause is over, wakes what waited for a circuit that has
closed since, and carries out replays: a batch at a time, so that a host that has just come back is not flooded.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet

from automation import alarms, audit, clock, outbound
from automation.actions.destinations import CIRCUIT, MENDED, SWITCHED_OFF
from automation.durable import canvas, control, states
from automation.errors import InvalidInput, NotFound, WeirError
from automation.models import (
    ENDED_STATUSES,
    CircuitState,
    Destination,
    ExecutionStatus,
    ExecutionStep,
    HeldCall,
    HeldState,
    StepStatus,
    User,
    WorkflowAction,
)
from automation.outbound.rates import OFF, parse_rate
from automation.services import locks

logger = logging.getLogger(__name__)

BATCH = 50
"""Calls that one sweep wakes or replays."""
TIDY_BATCH = 1_000
FORGOTTEN = dt.timedelta(days=30)


def with_counts(rows: QuerySet[Destination]) -> QuerySet[Destination]:
    """Each with the number of its calls that wait or are tried again (`waiting`) and that have failed (`failed`)."""
    return rows.annotate(
        waiting=Count("held", filter=~Q(held__state=HeldState.FAILED) & Q(held__isnull=False)),
        failed=Count("held", filter=Q(held__state=HeldState.FAILED)),
    )


def causes(destination: Destination) -> list[dict[str, Any]]:
    """Its calls that wait or have failed, by cause, the most frequent first: `cause`, `waiting`, `failed`, `since`,
    `latest` (times) and `example` (a message)."""
    grouped = (
        HeldCall.objects.filter(destination=destination)
        .order_by()
        .values("cause")
        .annotate(
            failed=Count("id", filter=Q(state=HeldState.FAILED)),
            waiting=Count("id", filter=~Q(state=HeldState.FAILED)),
            since=Min("since"),
            latest=Max("updated_at"),
            example=Max("message"),
        )
    )
    found: list[dict[str, Any]] = [dict(row) for row in grouped]
    return sorted(found, key=lambda row: (-row["failed"] - row["waiting"], row["cause"]))


def set_rate(organizer: User, host: str, rate: str, *, by: User | None = None) -> Destination:
    """Give a destination ('' for all of the organizer's together) a rate: '60/min', 'off', or '' for the settings'.

    Raises InvalidInput.
    """
    if rate and rate != OFF:
        parse_rate(rate)
    name = _host(host)
    with transaction.atomic():
        found, _ = Destination.objects.get_or_create(organizer=organizer, host=name)
        row = Destination.objects.select_for_update().get(pk=found.pk)
        before = row.rate
        row.rate = rate
        row.save(update_fields=["rate"])
        _record(row, by, {"rate": before}, {"rate": rate})
    return row


def _host(text: str) -> str:
    """As calls name it: in lower case and ASCII, with its port where that is unusual. Raises InvalidInput: a rate for
    what no call ever names would hold nothing back."""
    host = text.strip()
    if not host:
        return ""
    try:
        if any(character in host for character in "/?#@"):
            raise outbound.OutboundRefused(f"{host[:100]!r} is more than a host.")
        return outbound.parse_target(f"https://{host}").host_header
    except outbound.OutboundRefused:
        problem = f"{host[:100]!r} is no host: expected one such as 'hooks.example.com' or 'hooks.example.com:8443'."
        raise InvalidInput(problem, {"host": [problem]}) from None


def close(destination_id: UUID, *, by: User | None = None) -> Destination:
    """Close a circuit by hand: a person knows that the host is back. What waits for it goes on."""
    rows = Destination.objects.filter(id=destination_id)
    with transaction.atomic():
        row = rows.select_for_update().first()
        if row is None:
            raise NotFound(f"There is no destination {destination_id}.")
        was_closed = row.state == CircuitState.CLOSED
        if not was_closed:
            closed = {"failures": 0, "trips": 0, "opened_at": None, "probe_at": None, "mended_at": clock.now()}
            rows.update(state=CircuitState.CLOSED, **closed)
            _record(row, by, {"state": row.state}, {"state": CircuitState.CLOSED.value})
    if not was_closed:
        alarms.close_alert(CIRCUIT, str(destination_id))
        sweep(clock.now())
    return rows.get()


def _record(row: Destination, by: User | None, before: dict[str, Any], after: dict[str, Any]) -> None:
    audit.record(
        "destination", row.pk, organizer_id=row.organizer_id, actor=by, name=str(row), before=before, after=after
    )


def replay(destination_id: UUID, cause: str = "") -> int:
    """Have the calls that have failed for good (for one cause, where it is named) made again; returns how many.

    Each execution is retried from its failed steps, which keep their idempotency keys. Raises InvalidInput for a cause
    that no failed call has.
    """
    failed = HeldCall.objects.filter(destination_id=destination_id, state=HeldState.FAILED)
    if cause and not failed.filter(cause=cause).exists():
        known = sorted(set(failed.order_by().values_list("cause", flat=True)))
        problem = f"No failed call has the cause {cause[:100]!r}; there are: {', '.join(known) or 'none'}."
        raise InvalidInput(problem, {"cause": [problem]})
    count = (failed.filter(cause=cause) if cause else failed).update(state=HeldState.REPLAYING, updated_at=clock.now())
    if not failed.exists():
        alarms.close_alert(MENDED, str(destination_id))
    sweep(clock.now())
    return count


_WAITING = ExecutionStep.objects.filter(
    execution=OuterRef("execution"), seq=OuterRef("step_seq"), status=StepStatus.PENDING
)


# -- the sweep ---------------------------------------------------------------------------------------------------------


def sweep(now: dt.datetime) -> int:
    """Wake and replay what may go on; returns how many calls that were."""
    return _probe(now) + _release(now) + _replay(now)


def _probe(now: dt.datetime) -> int:
    """One waiting call for each circuit whose pause is over."""
    over = Destination.objects.filter(probe_at__lte=now).exclude(state=CircuitState.CLOSED)
    woken = 0
    for destination_id in over.order_by("probe_at").values_list("id", flat=True)[:BATCH]:
        held = HeldCall.objects.filter(Exists(_WAITING), destination_id=destination_id, state=HeldState.HELD)
        # The first that can be woken: one whose execution was paused meanwhile probes nothing.
        woken += next((1 for call in held.order_by("id")[:BATCH] if _wake([call], now)), 0)
    return woken


def _release(now: dt.datetime) -> int:
    """What waited for a circuit that has closed."""
    free = HeldCall.objects.filter(state=HeldState.HELD, destination__state=CircuitState.CLOSED)
    calls = list(free.order_by("id")[:BATCH])
    woken = _wake(calls, now)
    HeldCall.objects.filter(id__in=[call.id for call in calls], state=HeldState.HELD).update(
        state=HeldState.RETRYING, updated_at=now
    )
    return woken


def _wake(calls: Sequence[HeldCall], now: dt.datetime) -> int:
    """Have the steps of these calls run now, whatever time they were put off to; returns how many will."""
    woken = 0
    for call in calls:
        with transaction.atomic():
            row = states.lock(call.execution_id)
            if row is None or row.status != ExecutionStatus.RUNNING or row.paused_at is not None:
                continue
            steps = ExecutionStep.objects.filter(
                execution_id=call.execution_id, seq=call.step_seq, status=StepStatus.PENDING, run_at__gt=now
            )
            if not steps.update(run_at=now, due=now):
                continue
            ready = list(ExecutionStep.objects.filter(execution_id=call.execution_id, seq=call.step_seq))
            transaction.on_commit(partial(canvas.parallel, row.id, ready, now))
        woken += 1
    return woken


def _replay(now: dt.datetime) -> int:
    wanted = HeldCall.objects.filter(state=HeldState.REPLAYING).order_by("id")
    return sum(_replay_one(id_, now) for id_ in list(wanted.values_list("id", flat=True)[:BATCH]))


def _replay_one(call_id: UUID, now: dt.datetime) -> bool:
    """Retry its execution, and give the call all its attempts again, in one transaction."""
    with transaction.atomic():
        call = locks.free(HeldCall.objects.filter(id=call_id, state=HeldState.REPLAYING)).first()
        if call is None:  # another sweep has it
            return False
        step = ExecutionStep.objects.filter(execution_id=call.execution_id, seq=call.step_seq)
        try:
            if step.filter(status=StepStatus.FAILED).exists():  # else another call of its execution was replayed
                control.retry(call.execution_id)
        except WeirError as error:  # it runs still, or was cancelled: this one stays failed, the others go on
            logger.info("a call cannot be replayed: %s", error.message)
            call.state, call.message = HeldState.FAILED, f"It could not be replayed: {error.message}"
        else:
            call.state, call.since, call.waits, call.slot = HeldState.RETRYING, now, call.attempt, None
        call.updated_at = now
        call.save(update_fields=["state", "message", "since", "waits", "slot", "updated_at"])
    return call.state == HeldState.RETRYING


def tidy(now: dt.datetime) -> int:
    """Forget the calls of executions that ended in another way than by failing, and destinations with which nothing has
    been wrong for a month; returns how many."""
    over = [status for status in ENDED_STATUSES if status not in (ExecutionStatus.FAILED, ExecutionStatus.PARKED)]
    done = 0
    while ids := list(HeldCall.objects.filter(execution__status__in=over).values_list("id", flat=True)[:TIDY_BATCH]):
        done += HeldCall.objects.filter(id__in=ids).delete()[0]
    long_ago = now - FORGOTTEN
    quiet = Destination.objects.filter(state=CircuitState.CLOSED, rate="", held=None, created_at__lt=long_ago)
    quiet = quiet.filter(Q(mended_at=None) | Q(mended_at__lt=long_ago), Q(next_slot=None) | Q(next_slot__lt=now))
    while ids := list(quiet.values_list("id", flat=True)[:TIDY_BATCH]):
        done += Destination.objects.filter(id__in=ids).delete()[0]
    _close_alerts()
    return done


def _close_alerts() -> None:
    """Those whose problem ended in a way that closes none: its rows were deleted, or edited somewhere else."""
    still_open = Destination.objects.exclude(state=CircuitState.CLOSED)
    replayable = HeldCall.objects.filter(state=HeldState.FAILED).order_by().values_list("destination_id", flat=True)
    off = WorkflowAction.objects.filter(is_active=False).exclude(disabled_reason="")
    alarms.close_all_but(CIRCUIT, {str(id_) for id_ in still_open.values_list("id", flat=True)})
    alarms.close_all_but(MENDED, {str(id_) for id_ in replayable.distinct()})
    alarms.close_all_but(SWITCHED_OFF, {str(id_) for id_ in off.values_list("id", flat=True)})
