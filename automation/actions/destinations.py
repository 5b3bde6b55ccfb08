"""The gate before every call to an organizer's host: a circuit breaker and a rate limit, kept in rows.

While a host answers, the gate costs no query of its own: one query asks for the action and for its destination, which
has no row before something has failed there. After OUTBOUND_BREAKER_FAILURES failures in a row the circuit opens: the
steps that would call that host wait, and no others. When its pause is over one call is let through. If that is answered
the circuit closes, and what waits goes on; if not, the pause doubles.

A call over its rate gets the next free slot, and its step waits for it. Neither wait counts as an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet, Subquery
from django.db.models.functions import JSONObject

from automation import alarms, audit, clock
from automation.actions.invocation import Invocation
from automation.models import CircuitState, Destination, HeldCall, HeldState, Severity, WorkflowAction
from automation.outbound.rates import Rate, parse_rate

PROBE_LEASE = timedelta(minutes=1)
"""How long a probe may take before another call may try: its worker may have died."""
BACKSTOP = timedelta(minutes=10)
"""A step that waits for a circuit comes back so long after the pause by itself; the sweep wakes it earlier."""
CIRCUIT, MENDED, SWITCHED_OFF = "circuit", "circuit_mended", "action_off"
MAX_MESSAGE = 2_000


@dataclass(frozen=True)
class Known:
    """What the first look told of a destination's row."""

    id: str
    state: str
    failures: int
    rate: str


@dataclass
class Gate:
    """What stands between an invocation and its call. `switched_off`: why Weir switched the action off, if it did."""

    invocation: Invocation
    host: str
    switched_off: str = ""
    destination: Known | None = None
    total: Known | None = None
    held: HeldCall | None = None
    probing: bool = False

    @property
    def organizer_id(self) -> int:
        return self.invocation.booking.organizer_id

    @property
    def attempts(self) -> int:
        """Attempts that called, the present one included."""
        return self.invocation.attempt - (self.held.waits if self.held is not None else 0)


@dataclass(frozen=True)
class Wait:
    """The call is not made before `until`; with `given_up`, not at all. `slot` is a reserved one."""

    reason: str
    state: HeldState
    until: datetime
    cause: str = ""
    slot: datetime | None = None

    @property
    def given_up(self) -> bool:
        return self.state == HeldState.FAILED


def look(invocation: Invocation, host: str) -> Gate:
    """One query; one more for a step that has been tried before."""
    organizer = invocation.booking.organizer_id
    named = _rows(organizer, host), _rows(organizer, "")
    facts = WorkflowAction.objects.filter(id=invocation.action.id).values_list(
        "is_active", "disabled_reason", *(Subquery(rows.values(row=_ROW)[:1]) for rows in named)
    )
    gate = Gate(invocation, host)
    found = facts.first()
    if found is None:  # the action was deleted since; this execution still runs it
        found = (True, "", *(rows.values_list(_ROW, flat=True).first() for rows in named))
    active, reason, destination, total = found
    gate.switched_off = "" if active else reason
    gate.destination, gate.total = _known(destination), _known(total)
    if invocation.attempt > 1:
        gate.held = HeldCall.objects.filter(execution_id=invocation.execution_id, step_seq=invocation.step_seq).first()
    return gate


def admit(gate: Gate) -> Wait | None:
    """Lets the call through (None), perhaps as the probe of an open circuit, or says how long it waits."""
    now = clock.now()
    wait = _by_circuit(gate, now) or _by_rate(gate, now)
    if wait is not None:
        _hold(gate, wait.state, wait.cause, wait.reason, waited=not wait.given_up, slot=wait.slot)
    return wait


def answered(gate: Gate) -> None:
    """The call was answered well."""
    alive(gate)
    if gate.held is not None:
        HeldCall.objects.filter(id=gate.held.id).delete()


def alive(gate: Gate) -> None:
    """The other end answers, whatever it says: its circuit closes, and its failures are forgotten."""
    known = gate.destination
    if known is None or (known.state == CircuitState.CLOSED and not known.failures):
        return
    rows = Destination.objects.filter(id=known.id)
    now = clock.now()
    quiet: dict[str, Any] = {
        "failures": 0,
        "trips": 0,
        "probe_at": None,
        "opened_at": None,
        "state": CircuitState.CLOSED,
    }
    if rows.exclude(state=CircuitState.CLOSED).update(**quiet, mended_at=now):
        alarms.close_alert(CIRCUIT, str(known.id))
        _tell_mended(gate, known.id)
    else:
        rows.filter(state=CircuitState.CLOSED, failures__gt=0).update(failures=0)


def failed(gate: Gate, cause: str, message: str, *, final: bool, counts: bool) -> None:
    """The call came to nothing. `final`: no attempt follows. `counts`: it says something about the other end, as no
    answer and a 503 do, and a 400 does not.

    `cause` is what failures are grouped by: 'HTTP 503', 'no answer'.
    """
    row = _make_known(gate)
    _hold(gate, HeldState.FAILED if final else HeldState.RETRYING, cause, message, waited=False)
    if not counts:
        alive(gate)
        return
    rows = Destination.objects.filter(id=row.id)
    rows.update(failures=F("failures") + 1, last_cause=cause[:100], last_message=message[:MAX_MESSAGE])
    now = clock.now()
    if gate.probing:
        pause = _pause(row.trips + 1)
        rows.exclude(state=CircuitState.CLOSED).update(
            state=CircuitState.OPEN, trips=F("trips") + 1, probe_at=now + pause
        )
    elif settings.OUTBOUND_BREAKER_FAILURES:
        tripped = rows.filter(state=CircuitState.CLOSED, failures__gte=settings.OUTBOUND_BREAKER_FAILURES)
        if tripped.update(state=CircuitState.OPEN, trips=0, opened_at=now, probe_at=now + _pause(0), mended_at=None):
            alarms.close_alert(MENDED, str(row.id))
            alarms.open_alert(
                CIRCUIT,
                str(row.id),
                f"{gate.host} has failed {settings.OUTBOUND_BREAKER_FAILURES} times in a row ({cause}). What calls it "
                "waits until it answers again; everything else goes on.",
                severity=Severity.CRITICAL,
                workflow_id=gate.invocation.workflow_id,
            )


def switch_off(invocation: Invocation, reason: str) -> None:
    """Switches the live action off, once, notes that in the audit log, and has its organizer told."""
    live = WorkflowAction.objects.filter(id=invocation.action.id, is_active=True)
    with transaction.atomic():
        switched = live.update(is_active=False, disabled_reason=reason)
        if switched:
            audit.record(
                "action",
                invocation.action.id,
                organizer_id=invocation.booking.organizer_id,
                actor=None,
                name=invocation.action.name,
                before={"is_active": True, "disabled_reason": ""},
                after={"is_active": False, "disabled_reason": reason},
            )
    if switched:
        alarms.open_alert(
            SWITCHED_OFF,
            invocation.action.id,
            f"The action {invocation.action.name!r} of {invocation.workflow_name!r} has been switched off: {reason} "
            "Give it another address, or switch it on again.",
            workflow_id=invocation.workflow_id,
            execution_id=invocation.execution_id,
        )


# -- the circuit -------------------------------------------------------------------------------------------------------


def _by_circuit(gate: Gate, now: datetime) -> Wait | None:
    if gate.destination is None or gate.destination.state == CircuitState.CLOSED:
        return None
    row = Destination.objects.filter(id=gate.destination.id).first()
    if row is None or row.state == CircuitState.CLOSED:
        return None
    if row.probe_at is None or row.probe_at <= now:
        # Of several that find the pause over, the one whose update counts is the probe.
        mine = Destination.objects.filter(id=row.id, probe_at=row.probe_at).exclude(state=CircuitState.CLOSED)
        if mine.update(state=CircuitState.HALF_OPEN, probe_at=now + PROBE_LEASE):
            gate.probing = True
            return None
        row.probe_at = now + PROBE_LEASE
    reason = f"Calls to {gate.host} wait: {row.failures} have failed in a row, the last one with {row.last_cause}."
    since = gate.held.since if gate.held is not None else now
    if now - since > timedelta(seconds=settings.OUTBOUND_HOLD):
        reason += f" This one has waited since {since:%F %T} UTC, and is given up."
        return Wait(reason, HeldState.FAILED, now, row.last_cause)
    return Wait(reason, HeldState.HELD, row.probe_at + BACKSTOP, row.last_cause)


def _pause(trips: int) -> timedelta:
    first, longest = settings.OUTBOUND_BREAKER_PAUSE, settings.OUTBOUND_BREAKER_LONGEST
    return timedelta(seconds=min(first * 2 ** min(trips, 30), max(first, longest)))


def _tell_mended(gate: Gate, destination_id: str) -> None:
    count = HeldCall.objects.filter(destination_id=destination_id, state=HeldState.FAILED).count()
    if count:
        alarms.open_alert(
            MENDED,
            destination_id,
            f"{gate.host} answers again. {count} calls had failed for good meanwhile, and can be replayed.",
            workflow_id=gate.invocation.workflow_id,
        )


# -- the rate ----------------------------------------------------------------------------------------------------------


def _by_rate(gate: Gate, now: datetime) -> Wait | None:
    limits = {
        host: rate
        for host, text in (
            ("", (gate.total and gate.total.rate) or settings.OUTBOUND_RATE_ORGANIZER),
            (gate.host, (gate.destination and gate.destination.rate) or settings.OUTBOUND_RATE_HOST),
        )
        if (rate := parse_rate(text)) is not None
    }
    if not limits:
        return None
    slot = gate.held.slot if gate.held is not None else None
    if slot is None:
        slot = max(_take(gate.organizer_id, host, rate, now) for host, rate in limits.items())
    elif slot <= now:
        _use_up(gate)
    if slot <= now:
        return None
    if gate.probing:  # somebody else may try meanwhile
        _rows(gate.organizer_id, gate.host).update(state=CircuitState.OPEN, probe_at=now)
        gate.probing = False
    _make_known(gate)
    texts = (f"{rate} {f'to {host}' if host else 'in all'}" for host, rate in limits.items())
    return Wait(
        f"The call waits for its turn: at most {' and '.join(texts)} are made.", HeldState.LIMITED, slot, slot=slot
    )


def _take(organizer_id: int, host: str, rate: Rate, now: datetime) -> datetime:
    Destination.objects.get_or_create(organizer_id=organizer_id, host=host)
    with transaction.atomic():  # the lock lasts for two statements
        row = Destination.objects.select_for_update().get(organizer_id=organizer_id, host=host)
        slot, row.next_slot = rate.take(row.next_slot, now)
        row.save(update_fields=["next_slot"])
    return slot


def _use_up(gate: Gate) -> None:
    """The reserved slot is for this attempt; a further one takes a slot of its own."""
    if gate.held is not None:
        HeldCall.objects.filter(id=gate.held.id).update(slot=None)
        gate.held.slot = None


# -- rows --------------------------------------------------------------------------------------------------------------

_ROW = JSONObject(id=F("id"), state=F("state"), failures=F("failures"), rate=F("rate"))


def _rows(organizer_id: int, host: str) -> QuerySet[Destination]:
    return Destination.objects.filter(organizer_id=organizer_id, host=host)


def _known(data: dict[str, Any] | None) -> Known | None:
    return Known(str(UUID(data["id"])), data["state"], data["failures"], data["rate"]) if data else None


def _make_known(gate: Gate) -> Destination:
    row, _ = Destination.objects.get_or_create(organizer_id=gate.organizer_id, host=gate.host)
    gate.destination = gate.destination or Known(str(row.id), row.state, row.failures, row.rate)
    return row


def _hold(
    gate: Gate, state: HeldState, cause: str, message: str, *, waited: bool, slot: datetime | None = None
) -> None:
    """Writes down what became of this attempt."""
    assert gate.destination is not None
    invocation, now = gate.invocation, clock.now()
    values: dict[str, Any] = {
        "destination_id": gate.destination.id,
        "state": state,
        "attempt": invocation.attempt,
        "updated_at": now,
    }
    if cause:
        values |= {"cause": cause[:100], "message": message[:MAX_MESSAGE]}
    if slot is not None:
        values["slot"] = slot
    held, made = HeldCall.objects.get_or_create(
        execution_id=invocation.execution_id,
        step_seq=invocation.step_seq,
        defaults={**values, "since": now, "waits": int(waited)},
    )
    if not made:
        HeldCall.objects.filter(id=held.id).update(**values, waits=F("waits") + int(waited))
        held.refresh_from_db()
    gate.held = held
