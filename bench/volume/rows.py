"""Makes the past: rows written by the database itself, as the engine would have left them."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from django.db import connection, transaction

from automation import clock
from automation.models import Booking, EventType, Trigger, User
from automation.services import workflows

ORGANIZERS = 20
WORKFLOWS = 25
STEPS = 5
BOOKINGS = 100_000
DAYS = 120
"""How far the past reaches back."""
PASSWORD = "bench-volume-password"


@dataclass(frozen=True)
class Past:
    """What was made. `busy` is an organizer like the others, `staff` sees everything."""

    organizers: list[User]
    staff: User
    executions: int


def make(executions: int) -> Past:
    """Organizers with workflows and bookings, and `executions` ended runs of five steps each."""
    organizers = [_organizer(number) for number in range(ORGANIZERS)]
    staff = User.objects.create_user("staff@example.com", PASSWORD, is_staff=True)
    _bookings(organizers)
    _executions(executions)
    _trends()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return Past(organizers, staff, executions)


def _organizer(number: int) -> User:
    organizer = User.objects.create_user(f"organizer{number}@example.com", PASSWORD, first_name=f"Organizer {number}")
    event_type = EventType.objects.create(organizer=organizer, name="Call", duration=30)
    with transaction.atomic():
        for index in range(WORKFLOWS):
            workflows.create(
                organizer,
                name=f"Workflow {index}",
                trigger=Trigger.BOOKING_COMPLETED,
                event_types=[event_type],
                actions=[
                    {
                        "action_type": "send_email",
                        "name": f"Mail {step}",
                        "order": step,
                        "subject": "{{ event_type_name }}",
                        "message": "Hello {{ invitee_name }}",
                    }
                    for step in range(STEPS)
                ],
            )
    return organizer


def _bookings(organizers: list[User]) -> None:
    event_types = EventType.objects.filter(organizer__in=organizers).order_by("organizer_id")
    each = BOOKINGS // len(organizers)
    for event_type in event_types:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO automation_booking (id, event_type_id, organizer_id, invitee_name, invitee_email,
                    invitee_phone, invitee_timezone, start_time, end_time, status, attendee_count, custom_answers,
                    meeting_link, meeting_id, meeting_password, cancellation_reason, cancelled_by, access_token,
                    sequence, created_at, updated_at)
                SELECT gen_random_uuid(), %s, %s, 'Invitee ' || i, 'invitee' || i || '@example.com', '', 'UTC',
                    at, at + interval '30 minutes', 'completed', 1, '{}', '', '', '', '', '',
                    md5(%s || i::text) || md5(i::text), 0, at - interval '3 days', at
                FROM (SELECT i, %s::timestamptz - (i * interval '1 day' * %s / %s) AS at
                      FROM generate_series(1, %s) AS i) AS moments
                """,
                [
                    *(event_type.pk, event_type.organizer_id, str(event_type.pk), clock.now(), DAYS, each),
                    each,
                ],
            )


def _executions(count: int) -> None:
    """Spread evenly over the days, the workflows and their organizers' bookings; one in twenty failed."""
    definition = json.dumps([{"stages": []}])
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TEMPORARY TABLE wanted AS
            SELECT i, ('0' || lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 11, '0') || '7' ||
                       substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid AS id,
                   at, w.organizer_id, w.id AS workflow_id, v.id AS version_id, b.id AS booking_id,
                   CASE WHEN i %% 20 = 0 THEN 'failed' ELSE 'completed' END AS status
            FROM (SELECT i, %(now)s::timestamptz - ((%(count)s - i) * interval '1 day' * %(days)s / %(count)s) AS at
                  FROM generate_series(1, %(count)s) AS i) AS m
            JOIN (SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, organizer_id FROM automation_workflow) AS w
              ON w.n = m.i %% %(workflows)s
            JOIN automation_workflowversion v ON v.workflow_id = w.id AND v.number = 1
            JOIN (SELECT row_number() OVER (PARTITION BY organizer_id ORDER BY id) - 1 AS n, id, organizer_id
                  FROM automation_booking) AS b
              ON b.organizer_id = w.organizer_id AND b.n = (m.i / %(workflows)s) %% %(bookings)s
            """,
            {
                **{"now": clock.now(), "count": count, "days": DAYS, "workflows": ORGANIZERS * WORKFLOWS},
                "bookings": BOOKINGS // ORGANIZERS,
            },
        )
        cursor.execute(
            """
            INSERT INTO automation_workflowexecution (id, definition, organizer_id, workflow_id, version_id, booking_id,
                trigger, booking_sequence, status, queue, input, created_at, started_at, completed_at, actions_executed,
                actions_failed, counted, error_message)
            SELECT id, 'AutomationWorkflow', organizer_id, workflow_id, version_id, booking_id, 'booking_completed', i,
                status,
                'estuary-workflows', %s, at, at, at + interval '2 seconds', 5,
                CASE status WHEN 'failed' THEN 1 ELSE 0 END, FALSE,
                CASE status WHEN 'failed' THEN 'An action failed.' ELSE '' END
            FROM wanted
            """,
            [definition],
        )
        cursor.execute(
            """
            INSERT INTO automation_executionstep (execution_id, seq, kind, name, status, attempt, resolved_seq, queue,
                options, input, output, created_at, started_at, completed_at)
            SELECT w.id, s.seq, 'activity', 'execute_email_action',
                CASE WHEN w.status = 'failed' AND s.seq = 5 THEN 'failed' ELSE 'completed' END, 1, s.seq,
                'estuary-workflows', '{}', '[{"action_id": "' || a.id || '"}]', '{"status": "success"}',
                w.at, w.at + s.seq * interval '100 milliseconds', w.at + s.seq * interval '150 milliseconds'
            FROM wanted w
            CROSS JOIN generate_series(1, %s) AS s (seq)
            JOIN (SELECT row_number() OVER (PARTITION BY workflow_id ORDER BY "order") AS seq, id, workflow_id
                  FROM automation_workflowaction) AS a ON a.workflow_id = w.workflow_id AND a.seq = s.seq
            """,
            [STEPS],
        )
        cursor.execute("DROP TABLE wanted")


def _trends() -> None:
    """The days' rows and counters, as the roll-up would have made them minute by minute."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO automation_workflowtrend (workflow_id, day, completed, failed, cancelled, seconds, longest,
                actions_executed, actions_failed)
            SELECT workflow_id, (completed_at AT TIME ZONE 'UTC')::date, count(*) FILTER (WHERE status = 'completed'),
                count(*) FILTER (WHERE status = 'failed'), 0, 2.0 * count(*) FILTER (WHERE status = 'completed'), 2.0,
                sum(actions_executed), sum(actions_failed)
            FROM automation_workflowexecution GROUP BY 1, 2
            """
        )
        cursor.execute("UPDATE automation_workflowexecution SET counted = TRUE")


def fifty_workflows() -> EventType:
    """An event type whose bookings set off fifty workflows."""
    organizer = User.objects.create_user("fifty@example.com", PASSWORD)
    event_type = EventType.objects.create(organizer=organizer, name="Popular", duration=30)
    for index in range(50):
        workflows.create(
            organizer,
            name=f"Workflow {index}",
            trigger=Trigger.BOOKING_CREATED,
            actions=[{"action_type": "send_email", "name": "Mail", "subject": "s", "message": "m"}],
        )
    return event_type


def planned_bookings(count: int, name: str = "planner") -> EventType:
    """Bookings in a month or later, each with a reminder to be planned for it."""
    organizer = User.objects.create_user(f"{name}@example.com", PASSWORD)
    event_type = EventType.objects.create(organizer=organizer, name="Planned", duration=30)
    workflows.create(
        organizer,
        name="Reminder",
        trigger=Trigger.BEFORE_MEETING,
        delay_minutes=60,
        actions=[{"action_type": "send_email", "name": "Mail", "subject": "s", "message": "m"}],
    )
    _future_bookings(event_type, count)
    return event_type


def _future_bookings(event_type: EventType, count: int) -> None:
    start = clock.now().replace(minute=0, second=0, microsecond=0) + dt.timedelta(days=30)
    for at in range(0, count, 500):
        Booking.objects.bulk_create(
            [
                Booking(
                    event_type=event_type,
                    organizer=event_type.organizer,
                    invitee_name=f"Invitee {number}",
                    invitee_email=f"invitee{number}@example.com",
                    start_time=start + dt.timedelta(minutes=30 * number),
                    end_time=start + dt.timedelta(minutes=30 * number + 30),
                )
                for number in range(at, min(at + 500, count))
            ]
        )
