"""Every page of the admin opens, history cannot be edited, and what an operator does there takes effect."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from automation import clock
from automation.models import (
    Alert,
    AuditLog,
    Booking,
    BookingAuditLog,
    BookingEvent,
    BulkTest,
    BulkTestResult,
    Channel,
    Destination,
    EventType,
    ExecutionStatus,
    ExecutionStep,
    HeldCall,
    HeldState,
    InboundBooking,
    InboundEvent,
    InboundSource,
    Lease,
    NotificationLog,
    NotificationPreference,
    PaymentOperation,
    ProviderRecord,
    StepStatus,
    Suppression,
    TemplateCategory,
    Trigger,
    User,
    WorkerHeartbeat,
    Workflow,
    WorkflowAction,
    WorkflowDraft,
    WorkflowExecution,
    WorkflowTemplate,
    WorkflowVersion,
)
from tests.api.conftest import PASSWORD, booking_of, execution_of, user_of, workflow_of

READ_ONLY = (
    Alert,
    BookingAuditLog,
    BookingEvent,
    Destination,
    ExecutionStep,
    HeldCall,
    InboundBooking,
    InboundEvent,
    Lease,
    NotificationLog,
    PaymentOperation,
    ProviderRecord,
    Suppression,
    WorkerHeartbeat,
    Workflow,
    WorkflowAction,
    WorkflowDraft,
    WorkflowExecution,
    WorkflowVersion,
    BulkTest,
    BulkTestResult,
)
EDITABLE = (Booking, EventType, InboundSource, NotificationPreference, User, WorkflowTemplate)


@pytest.fixture
def root(db: None) -> Client:
    User.objects.create_superuser("root@example.com", PASSWORD)
    client = Client()
    assert client.login(email="root@example.com", password=PASSWORD)
    return client


@pytest.fixture
def rows(db: None) -> dict[type[Model], Model]:
    """One row of every model."""
    owner = user_of("ada@example.com")
    event_type = EventType.objects.create(organizer=owner, name="Discovery Call", duration=30)
    booking = booking_of(event_type)
    workflow = workflow_of(owner)
    execution = execution_of(workflow, booking=booking)
    now = clock.now()
    made: list[Model] = [
        owner,
        event_type,
        booking,
        workflow,
        execution,
        workflow.actions.get(),
        workflow.versions.get(),
        execution.steps.get(),
        BookingEvent.objects.filter(booking=booking).first() or BookingEvent.objects.create(booking=booking),
        BookingAuditLog.objects.create(booking=booking, action="updated", actor="a@example.com"),
        Alert.objects.create(kind="failure_rate", key="k", message="It fails", workflow=workflow),
        Lease.objects.create(name="beat", holder="h", seen_at=now, expires_at=now),
        WorkerHeartbeat.objects.create(id="h:1:1", node="celery@h", hostname="h", pid=1),
        NotificationLog.objects.create(channel=Channel.EMAIL, recipient="a@example.com", execution=execution),
        NotificationPreference.objects.create(organizer=owner, recipient="a@example.com"),
        Suppression.objects.create(organizer=owner, channel="email", recipient="a@example.com", reason="bounced"),
        PaymentOperation.objects.create(
            provider_id="pi_1", idempotency_key="k", kind="charge", amount="5.000", currency="EUR"
        ),
        ProviderRecord.objects.create(provider="video", kind="room", key="weir-1"),
        (destination := Destination.objects.create(organizer=owner, host="hooks.example.com")),
        HeldCall.objects.create(destination=destination, execution=execution, step_seq=1, state=HeldState.FAILED),
        (source := InboundSource.objects.create(organizer=owner, name="Cal", kind="cal_com", secret_encrypted="x")),
        InboundEvent.objects.create(source=source, external_id="e", type="PING", payload="{}"),
        InboundBooking.objects.create(source=source, external_id="uid", booking=booking),
        WorkflowTemplate.objects.create(name="Reminder", category=TemplateCategory.REMINDER),
        WorkflowDraft.objects.create(workflow=workflow, content={"webhook_secret_encrypted": "x"}, base_version=1),
        (test := BulkTest.objects.create(organizer=owner, workflow_ids=[], booking_ids=[], total=1)),
        BulkTestResult.objects.create(bulk_test=test, position=0, workflow_id=workflow.pk, passed=True, result={}),
    ]
    return {type(row): row for row in made}


def page(model: type[Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def test_every_model_has_a_page() -> None:
    assert {model for model in admin.site._registry if model._meta.app_label == "automation"} == {
        *READ_ONLY,
        *EDITABLE,
    }


@pytest.mark.parametrize("model", [*READ_ONLY, *EDITABLE])
def test_every_page_opens_searches_and_filters(
    root: Client, rows: dict[type[Model], Model], model: type[Model]
) -> None:
    row = rows[model]
    listed = root.get(page(model, "changelist"))
    assert listed.status_code == 200
    assert page(model, "change", quote(row.pk)) in listed.content.decode()
    for query in ("q=ada", "q=0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10", f"q={row.pk}"):
        assert root.get(f"{page(model, 'changelist')}?{query}").status_code == 200, query
    shown = root.get(page(model, "change", quote(row.pk)))
    assert shown.status_code == 200
    assert str(row) in shown.content.decode()


@pytest.mark.parametrize("model", READ_ONLY)
def test_history_is_not_edited(root: Client, rows: dict[type[Model], Model], model: type[Model]) -> None:
    pk = rows[model].pk
    assert root.get(page(model, "add")).status_code == 403
    assert root.post(page(model, "change", quote(pk)), {}).status_code == 403
    assert root.post(page(model, "delete", quote(pk)), {"post": "yes"}).status_code == 403
    assert model._default_manager.filter(pk=pk).exists()


def test_an_organizer_has_no_business_here(rows: dict[type[Model], Model]) -> None:
    client = Client()
    assert client.login(email="ada@example.com", password=PASSWORD)
    for model in (*READ_ONLY, *EDITABLE):
        assert client.get(page(model, "changelist")).status_code == 302


def test_an_execution_shows_its_steps(root: Client, rows: dict[type[Model], Model]) -> None:
    execution = rows[WorkflowExecution]
    html = root.get(page(WorkflowExecution, "change", execution.pk)).content.decode()
    assert "execute_email_action" in html
    assert "jose@enterprise.com" in html


def test_a_list_takes_a_constant_number_of_queries(root: Client, rows: dict[type[Model], Model]) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            root.get(page(WorkflowExecution, "changelist"))
        return len(queries)

    root.get(page(WorkflowExecution, "changelist"))
    one = count()
    for _ in range(10):
        execution_of(rows[Workflow], booking=rows[Booking], trigger=Trigger.BOOKING_CREATED)  # type: ignore[arg-type]
    assert count() == one


# --- Actions ----------------------------------------------------------------------------------------------------------


def act(client: Client, model: type[Model], action: str, *rows: Model) -> str:
    """Carries an admin action out; returns the page that says what came of it."""
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    response = client.post(page(model, "changelist"), data, follow=True)
    assert response.status_code == 200
    return str(response.content.decode())


def test_it_cancels_and_names_what_it_could_not(root: Client, rows: dict[type[Model], Model]) -> None:
    workflow, ended = rows[Workflow], rows[WorkflowExecution]
    planned = execution_of(workflow, status=ExecutionStatus.PENDING, started_at=None, completed_at=None)  # type: ignore[arg-type]
    html = act(root, WorkflowExecution, "cancel", planned, ended)
    assert "1 cancelled." in html
    assert f"{ended.pk}: " in html
    planned.refresh_from_db()
    assert planned.status == ExecutionStatus.CANCELLED
    assert "root@example.com" in planned.error_message


def test_it_retries(root: Client, rows: dict[type[Model], Model]) -> None:
    failed = execution_of(rows[Workflow], status=ExecutionStatus.FAILED)  # type: ignore[arg-type]
    failed.steps.update(status=StepStatus.FAILED, resolved_seq=1)
    assert "1 retried." in act(root, WorkflowExecution, "retry", failed)
    failed.refresh_from_db()
    assert failed.status == ExecutionStatus.RUNNING


def test_it_finds_and_redrives_dead_letters(root: Client, rows: dict[type[Model], Model]) -> None:
    dead = execution_of(rows[Workflow], status=ExecutionStatus.DEAD_LETTER)  # type: ignore[arg-type]
    html = root.get(f"{page(WorkflowExecution, 'changelist')}?attention=dead").content.decode()
    assert str(dead.pk) in html
    assert str(rows[WorkflowExecution].pk) not in html
    assert "1 re-driven." in act(root, WorkflowExecution, "redrive", dead)
    dead.refresh_from_db()
    assert dead.status == ExecutionStatus.RUNNING


def test_it_pauses_and_resumes(root: Client, rows: dict[type[Model], Model]) -> None:
    running = execution_of(rows[Workflow], status=ExecutionStatus.RUNNING, completed_at=None)  # type: ignore[arg-type]
    act(root, WorkflowExecution, "pause", running)
    running.refresh_from_db()
    assert running.paused_at is not None
    assert str(running.pk) in root.get(f"{page(WorkflowExecution, 'changelist')}?attention=paused").content.decode()
    act(root, WorkflowExecution, "resume", running)
    running.refresh_from_db()
    assert running.paused_at is None


def test_steering_asks_for_the_right_to_it(rows: dict[type[Model], Model]) -> None:
    from django.contrib.auth.models import Permission

    viewer = user_of("viewer@example.com", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_workflowexecution"))
    client = Client()
    client.force_login(viewer)
    planned = execution_of(rows[Workflow], status=ExecutionStatus.PENDING, started_at=None, completed_at=None)  # type: ignore[arg-type]
    act(client, WorkflowExecution, "cancel", planned)
    planned.refresh_from_db()
    assert planned.status == ExecutionStatus.PENDING


def test_it_switches_workflows_off_and_on(root: Client, rows: dict[type[Model], Model]) -> None:
    workflow = rows[Workflow]
    planned = execution_of(
        workflow,  # type: ignore[arg-type]
        status=ExecutionStatus.PENDING,
        started_at=None,
        completed_at=None,
        booking_sequence=3,
    )
    assert "1 switched off." in act(root, Workflow, "switch_off", workflow)
    planned.refresh_from_db()
    assert planned.status == ExecutionStatus.CANCELLED
    assert "1 switched on." in act(root, Workflow, "switch_on", workflow)
    entries = AuditLog.objects.filter(subject="workflow", subject_id=workflow.pk, changes__has_key="is_active")
    assert {entry.actor and entry.actor.email for entry in entries} == {"root@example.com"}


def test_it_closes_alerts(root: Client, rows: dict[type[Model], Model]) -> None:
    act(root, Alert, "close", rows[Alert])
    assert Alert.objects.get().closed_at is not None


# --- Editing ----------------------------------------------------------------------------------------------------------


def booking_form(booking: Booking, **changes: Any) -> dict[str, Any]:
    start, end = changes.pop("start", booking.start_time), changes.pop("end", booking.end_time)
    return {
        "event_type": booking.event_type_id,
        "organizer": booking.organizer_id,
        "invitee_name": booking.invitee_name,
        "invitee_email": booking.invitee_email,
        "invitee_timezone": "UTC",
        "start_time_0": start.date(),
        "start_time_1": start.time(),
        "end_time_0": end.date(),
        "end_time_1": end.time(),
        "status": booking.status,
        "attendee_count": 1,
        "custom_answers": "{}",
        **changes,
    } | {f"{prefix}-{name}": 0 for prefix in ("events", "audit_log") for name in ("TOTAL_FORMS", "INITIAL_FORMS")}


def test_an_edited_booking_triggers_as_everywhere(root: Client, rows: dict[type[Model], Model]) -> None:
    booking = rows[Booking]
    assert isinstance(booking, Booking)
    BookingEvent.objects.all().delete()
    later = dt.timedelta(days=1)
    form = booking_form(booking, start=booking.start_time + later, end=booking.end_time + later)
    response = root.post(page(Booking, "change", booking.pk), form)
    assert response.status_code == 302, response.context["errors"]
    event = BookingEvent.objects.get()
    assert (event.trigger, event.source) == (Trigger.BOOKING_RESCHEDULED, "admin:root@example.com")
    booking.refresh_from_db()
    assert booking.sequence == 1
    entry = BookingAuditLog.objects.latest("id")
    assert (entry.booking, entry.action, entry.actor) == (booking, "updated", "root@example.com")
    assert set(entry.old_values) == set(entry.new_values) == {"start_time", "end_time"}
    root.post(page(Booking, "change", booking.pk), form)
    assert BookingAuditLog.objects.latest("id") == entry, "nothing has changed"
    response = root.post(page(Booking, "change", booking.pk), booking_form(booking, status="cancelled"))
    assert response.status_code == 302
    assert BookingEvent.objects.filter(trigger=Trigger.BOOKING_CANCELLED).count() == 1


def test_an_added_booking_triggers_as_everywhere(root: Client, rows: dict[type[Model], Model]) -> None:
    booking = rows[Booking]
    assert isinstance(booking, Booking)
    response = root.post(page(Booking, "add"), booking_form(booking, invitee_name="Grace"))
    assert response.status_code == 302, response.context["errors"]
    made = Booking.objects.get(invitee_name="Grace")
    assert BookingEvent.objects.get(booking=made).trigger == Trigger.BOOKING_CREATED
    entry = BookingAuditLog.objects.get(booking=made)
    assert (entry.action, entry.actor, entry.new_values["invitee_name"]) == ("created", "root@example.com", "Grace")


def test_a_booking_is_not_deleted(root: Client, rows: dict[type[Model], Model]) -> None:
    pk = rows[Booking].pk
    assert root.post(page(Booking, "delete", pk), {"post": "yes"}).status_code == 403


def test_an_event_type_in_use_is_not_deleted(root: Client, rows: dict[type[Model], Model]) -> None:
    event_type, workflow = rows[EventType], rows[Workflow]
    assert isinstance(event_type, EventType)
    assert isinstance(workflow, Workflow)
    spare = EventType.objects.create(organizer=event_type.organizer, name="Spare", duration=5)
    workflow.event_types.add(spare)
    # The workflow names it alone; without it, it would run for all event types.
    html = root.post(page(EventType, "delete", spare.pk), {"post": "yes"}, follow=True).content.decode()
    assert "only event type" in html
    assert EventType.objects.filter(pk=spare.pk).exists()
    act_form = {"action": "delete_selected", "_selected_action": [str(spare.pk)], "post": "yes"}
    root.post(page(EventType, "changelist"), act_form)
    assert EventType.objects.filter(pk=spare.pk).exists()
    workflow.event_types.clear()
    assert root.post(page(EventType, "delete", spare.pk), {"post": "yes"}).status_code == 302
    assert not EventType.objects.filter(pk=spare.pk).exists()


def test_people_are_added_by_email(root: Client) -> None:
    form = {"email": "Grace@Example.com", "password1": "a long passphrase", "password2": "a long passphrase"}
    form["usable_password"] = "true"
    response = root.post(page(User, "add"), form)
    assert response.status_code == 302, response.context["errors"]
    assert Client().login(email="grace@example.com", password="a long passphrase")
    again = root.post(page(User, "add"), form)
    assert "exists" in again.content.decode()


def test_the_secrets_of_webhooks_do_not_show(root: Client, rows: dict[type[Model], Model]) -> None:
    workflow = rows[Workflow]
    assert isinstance(workflow, Workflow)
    workflow.actions.update(webhook_secret_encrypted="gAAAA-secret")
    WorkflowVersion.objects.update(
        snapshot={"actions": [{"name": "Hook", "webhook_secret_encrypted": "gAAAA-secret"}]},
        created_at=timezone.now(),
    )
    for model in (WorkflowAction, WorkflowVersion, Workflow):
        html = root.get(page(model, "change", model._default_manager.get().pk)).content.decode()
        assert "gAAAA-secret" not in html, model


def test_an_operator_lifts_a_suppression(root: Client, rows: dict[type[Model], Model]) -> None:
    row = rows[Suppression]
    root.post(page(Suppression, "changelist"), {"action": "lift", "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert isinstance(row, Suppression)
    assert row.lifted_at is not None
