"""Bringing what is planned around meetings in line with bookings and workflows: the six time rules.

`meeting_plan` decides for one workflow and one booking; this module reads the facts for many and carries the decisions
out, in a number of queries that does not grow with either. Whoever calls it holds the bookings' locks, so that two
events of one booking cannot plan it twice, and the workflows' shared locks (`definitions.load`).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from automation.durable import control, starts
from automation.durable.starts import NewExecution
from automation.errors import WeirError
from automation.models import Booking, WorkflowExecution
from automation.services.definitions import Definition
from automation.services.meeting_plan import (
    MEETING_TRIGGERS,
    NOT_PLANNED,
    OTHER_EVENT_TYPE,
    OTHER_ORGANIZER,
    SWITCHED_OFF,
    Act,
    Decision,
    Existing,
    Meeting,
    Plan,
    decide,
)
from automation.workflows import DEFINITION

_COLUMNS = (
    *("id", "trigger", "booking_sequence", "status", "scheduled_for", "started_at", "error_message"),
    *("fixed_sequence", "organizer_id"),
)


@dataclass
class Planning:
    """What planning has done, in executions."""

    started: int = 0
    recorded: int = 0
    moved: int = 0
    revived: int = 0
    cancelled: int = 0

    def __bool__(self) -> bool:
        return any((self.started, self.recorded, self.moved, self.revived, self.cancelled))


@dataclass
class _Pair:
    booking: Booking
    definition: Definition | None
    existing: list[Existing] = field(default_factory=list)


def plan_meetings(
    bookings: Sequence[Booking],
    definitions: Sequence[Definition],
    now: dt.datetime,
    *,
    depths: Mapping[UUID, int] | None = None,
    only: Collection[UUID] | None = None,
) -> Planning:
    """Plan what runs before and after these bookings' meetings.

    definitions: the active workflows of their organizers, or the active ones among `only`, where these workflows' ids
    limit what is looked at. depths: by booking, how many workflows led to this. Joins the caller's transaction.
    """
    decided: list[tuple[_Pair, Decision]] = []
    for pair in _pairs(bookings, definitions, only):
        decided += [(pair, decision) for decision in _decide(pair, now)]
    return _carry_out(decided, depths or {})


def new_execution(
    definition: Definition, booking: Booking, trigger: str, sequence: int, at: dt.datetime, depth: int
) -> NewExecution:
    """The execution of a workflow for a booking. Raises InvalidInput where the workflow cannot be planned."""
    return NewExecution(
        definition=DEFINITION,
        args=(definition.input,),
        workflow_id=definition.workflow.pk,
        version_id=definition.version.pk,
        booking_id=booking.pk,
        organizer_id=booking.organizer_id,
        trigger=trigger,
        booking_sequence=sequence,
        depth=depth,
        scheduled_for=at,
    )


def plan_of(definition: Definition | None, booking: Booking) -> Plan:
    """The workflow's plan for this booking; None stands for a workflow that is off."""
    if definition is None:
        return Plan("", 0, "", SWITCHED_OFF)
    workflow = definition.workflow
    refused = ""
    if not definition.matches(booking):
        refused = OTHER_EVENT_TYPE
    elif definition.problem:
        refused = f"{NOT_PLANNED}the workflow cannot run: {definition.problem}"
    return Plan(workflow.trigger, workflow.delay_minutes, workflow.late_policy, refused)


def meeting_of(booking: Booking) -> Meeting:
    return Meeting(booking.status, booking.start_time, booking.end_time, booking.sequence)


def existing_of(
    booking_ids: Collection[UUID], only: Collection[UUID] | None = None
) -> dict[tuple[UUID, UUID], list[Existing]]:
    """By (booking, workflow): its executions by meeting triggers, newest sequence first."""
    rows = WorkflowExecution.objects.filter(
        booking_id__in=booking_ids, trigger__in=MEETING_TRIGGERS, booking_sequence__isnull=False
    ).order_by("-booking_sequence")
    if only is not None:
        rows = rows.filter(workflow_id__in=only)
    found: dict[tuple[UUID, UUID], list[Existing]] = defaultdict(list)
    for booking_id, workflow_id, id_, trigger, sequence, status, at, started, reason, fixed, whose in rows.values_list(
        "booking_id", "workflow_id", *_COLUMNS
    ):
        found[booking_id, workflow_id].append(
            Existing(id_, trigger, sequence, status, at, started is not None, reason, fixed == sequence, whose)
        )
    return found


def _pairs(
    bookings: Sequence[Booking], definitions: Sequence[Definition], only: Collection[UUID] | None
) -> Iterable[_Pair]:
    """Each booking with each workflow that plans for it, or has planned for it."""
    existing = existing_of([booking.pk for booking in bookings], only)
    by_id = {definition.workflow.pk: definition for definition in definitions}
    planning = [definition for definition in definitions if definition.workflow.trigger in MEETING_TRIGGERS]
    planned_before: dict[UUID, set[UUID]] = defaultdict(set)
    for booking_id, workflow_id in existing:
        planned_before[booking_id].add(workflow_id)
    for booking in bookings:
        wanted = {definition.workflow.pk for definition in planning if definition.matches(booking)}
        for workflow_id in sorted(wanted | planned_before[booking.pk]):
            yield _Pair(booking, by_id.get(workflow_id), existing.get((booking.pk, workflow_id), []))


def _decide(pair: _Pair, now: dt.datetime) -> list[Decision]:
    plan, meeting = plan_of(pair.definition, pair.booking), meeting_of(pair.booking)
    if pair.definition is None and any(one.organizer_id != pair.booking.organizer_id for one in pair.existing):
        plan = Plan("", 0, "", OTHER_ORGANIZER)
    try:
        return decide(plan, meeting, pair.existing, now)
    except WeirError as error:  # a delay that leaves the calendar
        refused = Plan(plan.trigger, plan.delay_minutes, plan.late_policy, NOT_PLANNED + error.message)
        return decide(refused, meeting, pair.existing, now)


def _carry_out(decided: Sequence[tuple[_Pair, Decision]], depths: Mapping[UUID, int]) -> Planning:
    new: list[NewExecution] = []
    late: list[tuple[NewExecution, str]] = []
    moves: list[tuple[UUID, dt.datetime, int]] = []
    revivals: dict[UUID, list[tuple[UUID, dt.datetime]]] = defaultdict(list)
    by_id = {pair.definition.workflow.pk: pair.definition for pair, _ in decided if pair.definition is not None}
    cancels: dict[str, list[UUID]] = defaultdict(list)
    follows: dict[int, list[UUID]] = defaultdict(list)
    for pair, decision in decided:
        definition, booking, id_, at = pair.definition, pair.booking, decision.execution_id, decision.at
        match decision.act:
            case Act.START | Act.RECORD if definition is not None and at is not None:
                execution = new_execution(
                    definition,
                    booking,
                    definition.workflow.trigger,
                    booking.sequence,
                    at,
                    depths.get(booking.pk, 0),
                )
                if decision.act is Act.START:
                    new.append(execution)
                else:
                    late.append((execution, decision.reason))
            case Act.MOVE if id_ is not None and at is not None:
                moves.append((id_, at, booking.sequence))
            case Act.REVIVE if id_ is not None and at is not None and definition is not None:
                revivals[definition.workflow.pk].append((id_, at))
            case Act.CANCEL if id_ is not None:
                cancels[decision.reason].append(id_)
            case Act.FOLLOW if id_ is not None:
                follows[booking.sequence].append(id_)
    # Cancelled first: what is cancelled and what takes its place are never both pending.
    done = Planning()
    for reason, ids in cancels.items():
        done.cancelled += control.cancel_planned(WorkflowExecution.objects.filter(id__in=ids), reason)
    for sequence, ids in follows.items():
        WorkflowExecution.objects.filter(id__in=ids).update(booking_sequence=sequence)
    done.moved = control.move_planned(moves) if moves else 0
    for workflow_id, times in revivals.items():
        done.revived += _revive(by_id[workflow_id], times)
    done.started = len(starts.start_many(new)) if new else 0
    done.recorded = len(starts.record_all_cancelled(late)) if late else 0
    return done


def _revive(definition: Definition, times: Sequence[tuple[UUID, dt.datetime]]) -> int:
    """Plan again what planning had cancelled, with what the workflow says now."""
    version = definition.version.pk
    revived = control.revive_planned([(id_, at, version) for id_, at in times])
    rows = WorkflowExecution.objects.filter(id__in=[id_ for id_, _ in times])
    rows.update(fixed_sequence=None)  # planned anew: what a person had set is over
    control.rebase_planned(rows, version, (definition.input,))
    return revived
