"""What is measured on the past: each returns lines of (what, value, unit, bound)."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from automation import clock
from automation.models import Booking, BookingEvent, User, WorkflowExecution
from automation.rules import conditions, templating
from automation.rules.fields import sample_context
from automation.services import maintenance, triggers
from bench.volume import rows
from bench.volume.rows import Past

SAMPLES = 100
SEED = 7


@dataclass(frozen=True)
class Line:
    """`bound`: the most (`at_least`: the least) that is wanted; None for what is only told."""

    what: str
    value: float
    unit: str
    bound: float | None = None
    at_least: bool = False

    @property
    def held(self) -> bool | None:
        if self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def answers(past: Past) -> Iterator[Line]:
    """The API's answers, over the API's own views, serializers and SQL, without a network."""
    pick = random.Random(SEED)
    organizer = past.organizers[0]
    own = _client(organizer)
    staff = _client(past.staff)
    ids = list(WorkflowExecution.objects.filter(workflow__organizer=organizer).values_list("id", flat=True)[:2000])
    workflow_ids = list(organizer.workflows.values_list("id", flat=True))
    bookings = list(Booking.objects.filter(organizer=organizer).values_list("id", flat=True)[:500])
    since = (clock.now() - dt.timedelta(days=3)).isoformat()
    executions, stats = "/api/v1/executions/", "/api/v1/workflows/performance-stats/"
    yield from _requests("list executions", own, lambda: (executions, {"page": pick.randint(1, 40)}))
    yield from _requests("list failed executions", own, lambda: (executions, {"status": "failed"}))
    yield from _requests(
        "list a workflow's executions", own, lambda: (executions, {"workflow": str(pick.choice(workflow_ids))})
    )
    yield from _requests(
        "list a booking's executions", own, lambda: (executions, {"booking": str(pick.choice(bookings))})
    )
    yield from _requests("list executions since three days ago", own, lambda: (executions, {"created_after": since}))
    yield from _requests("list all organizers' executions", staff, lambda: (executions, {"page": pick.randint(1, 40)}))
    yield from _requests("an execution in detail", own, lambda: (f"{executions}{pick.choice(ids)}/", {}))
    yield from _requests("performance-stats, 30 days", own, lambda: (stats, {}))
    yield from _requests("performance-stats, 90 days, all organizers", staff, lambda: (stats, {"days": 90}))
    yield from _requests("explain a booking", own, lambda: (f"/api/v1/bookings/{pick.choice(bookings)}/explain/", {}))


def _client(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    return client


def _requests(what: str, client: APIClient, request: Callable[[], tuple[str, dict[str, Any]]]) -> Iterator[Line]:
    took = []
    queries = set()
    for number in range(SAMPLES + 5):
        path, query = request()
        if number % 10 == 0:
            with CaptureQueriesContext(connection) as captured:
                response = client.get(path, query)
            queries.add(len(captured))
        else:
            began = time.perf_counter()
            response = client.get(path, query)
            if number >= 5:
                took.append(time.perf_counter() - began)
        if response.status_code != 200:
            raise RuntimeError(f"{path} {query} answered {response.status_code}: {response.content[:500]!r}")
    yield Line(what, _p95(took) * 1000, "ms p95", 150.0)
    yield Line(f"{what}: queries", max(queries), "queries")


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def events(past: Past) -> Iterator[Line]:
    """A booking event that matches fifty workflows, and what grows with the number of workflows."""
    event_type = rows.fifty_workflows()
    took, queries = [], []
    for number in range(20):
        booking = _book(event_type, number)
        ids = list(BookingEvent.objects.filter(booking=booking).values_list("id", flat=True))
        with CaptureQueriesContext(connection) as captured:
            began = time.perf_counter()
            triggers.process(ids)
            took.append(time.perf_counter() - began)
        queries.append(len(captured))
        made = WorkflowExecution.objects.filter(booking=booking).count()
        if made != 50:
            raise RuntimeError(f"{made} executions were made, not 50")
    yield Line("an event that matches fifty workflows", max(took[2:]) * 1000, "ms, worst", 250.0)
    one = rows.planned_bookings(1)
    booking = _book(one, 1)
    ids = list(BookingEvent.objects.filter(booking=booking).values_list("id", flat=True))
    with CaptureQueriesContext(connection) as captured:
        triggers.process(ids)
    yield Line("its queries", queries[-1], "queries")
    yield Line("the queries of an event that matches one", len(captured), "queries")


def _book(event_type: Any, number: int) -> Booking:
    start = clock.now() + dt.timedelta(days=400, minutes=45 * number)
    return Booking.objects.create(
        event_type=event_type,
        organizer=event_type.organizer,
        invitee_name="Ina",
        invitee_email="ina@example.com",
        start_time=start,
        end_time=start + dt.timedelta(minutes=30),
    )


def rescheduling(past: Past, count: int = 10_000) -> Iterator[Line]:
    """Bookings moved by one statement of the ORM, and what was planned for them moved after them."""
    event_type = rows.planned_bookings(count, "mover")
    _process_all()
    own = Booking.objects.filter(event_type=event_type)
    planned = WorkflowExecution.objects.filter(booking__event_type=event_type, status="pending")
    if planned.count() != count:
        raise RuntimeError(f"{planned.count()} executions were planned, not {count}")
    began = time.perf_counter()
    for at in range(0, count, 1000):
        batch = list(own.order_by("pk")[at : at + 1000])
        for booking in batch:
            booking.start_time += dt.timedelta(days=1)
            booking.end_time += dt.timedelta(days=1)
        Booking.objects.bulk_update(batch, ["start_time", "end_time"])
    saved = time.perf_counter()
    _process_all()
    ended = time.perf_counter()
    moved = planned.filter(booking_sequence=1).count()
    if moved != count:
        raise RuntimeError(f"{moved} executions were moved, not {count}")
    yield Line("bookings replanned after a move in bulk", count / (ended - saved), "/s", 500.0, at_least=True)
    yield Line("bookings moved, with their events recorded", count / (saved - began), "/s")


def _process_all() -> None:
    while ids := list(BookingEvent.objects.filter(processed_at=None).values_list("id", flat=True)[:500]):
        triggers.process(ids)


def cleanup(past: Past) -> Iterator[Line]:
    """The nightly cleanup, which deletes what ended longer ago; its longest statement."""
    wanted = past.executions // 10
    oldest = WorkflowExecution.objects.order_by("created_at").values_list("created_at", flat=True)
    limit = oldest[wanted]
    longest = 0.0

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal longest
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            longest = max(longest, time.perf_counter() - began)

    began = time.perf_counter()
    with connection.execute_wrapper(watch):
        deleted = maintenance.delete_old_executions(clock.now() - limit)
    took = time.perf_counter() - began
    if deleted < wanted * 0.95:
        raise RuntimeError(f"{deleted} executions were deleted, not about {wanted}")
    yield Line("the cleanup's longest statement", longest, "s", 1.0)
    yield Line("executions deleted, with their steps", deleted / took, "/s")


GROUPS = [
    {
        "operator": "AND",
        "rules": [
            {"field": "attendee_count", "operator": "greater_than", "value": 2},
            {"field": "invitee_email", "operator": "contains", "value": "@"},
            {"field": "event_type_name", "operator": "equals", "value": "Discovery Call"},
            {"field": "invitee_domain", "operator": "in_list", "value": ["example.com", "enterprise.com"]},
            {"field": "has_phone", "operator": "is_true"},
        ],
    }
]
TEMPLATE = (
    "Hello {{ invitee_name }},\n\n{{ event_type_name }} with {{ organizer_name }} is on "
    "{{ start_time | in_tz(invitee_timezone) | datetime }}.\n"
    "{% if has_phone %}We may call {{ invitee_phone }}.{% endif %}"
)


def rules(past: Past) -> Iterator[Line]:
    """Conditions and templates, on one core."""
    context = sample_context() | {"attendee_count": 5}
    rounds = 4000
    began = time.perf_counter()
    for _ in range(rounds):
        conditions.evaluate(GROUPS, context)
    took = time.perf_counter() - began
    yield Line("rules evaluated", rounds * len(GROUPS[0]["rules"]) / took, "/s", 50_000.0, at_least=True)
    templating.render_text(TEMPLATE, context)
    times = []
    for _ in range(2000):
        began = time.perf_counter()
        templating.render_text(TEMPLATE, context)
        times.append(time.perf_counter() - began)
    yield Line("a cached template rendered", sorted(times)[len(times) // 2] * 1000, "ms p50", 0.2)


ALL: tuple[Callable[[Past], Iterable[Line]], ...] = (rules, answers, events, rescheduling, cleanup)
