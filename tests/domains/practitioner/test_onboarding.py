"""Onboarding practitioners: through the rows, by signals, stalled, rejected; as a whole and in parts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail

from automation import clock
from automation.domains.practitioner.models import (
    BackgroundCheck,
    CheckStatus,
    Document,
    DocumentKind,
    DocumentStatus,
    Part,
    PartStatus,
    Practitioner,
    PractitionerStatus,
    TrainingCompletion,
    TrainingModule,
)
from automation.domains.practitioner.workflows import (
    PractitionerOnboardingWorkflow,
    PractitionerSubscriptionWorkflow,
    TrainingWorkflow,
    VerificationWorkflow,
)
from automation.durable.exceptions import WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment
from automation.models import OPEN_STATUSES, ExecutionStatus, User, WorkflowExecution
from tests.automation.factories import make_event_type
from tests.domains.handles import ask, tell

DAY = dt.timedelta(days=1)
PARTS = [str(part) for part in Part]


@pytest.fixture
def env(db: None) -> Iterator[WorkflowEnvironment]:
    with WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


@pytest.fixture
def someone(env: WorkflowEnvironment) -> Practitioner:
    """Who has signed up, and nothing else."""
    TrainingModule.objects.create(code="safety", title="Safety")
    return Practitioner.objects.create(user=User.objects.create_user("prue@example.com"))


def complete(practitioner: Practitioner, *parts: Part) -> None:
    """Have the rows say that these parts are done."""
    user = practitioner.user
    for part in parts:
        match part:
            case Part.PROFILE:
                user.first_name, user.last_name, user.phone = "Prue", "Ser", "+44 20 7946 0000"
                user.save()
                Practitioner.objects.filter(pk=practitioner.pk).update(headline="Yoga", bio="For everybody.")
            case Part.DOCUMENTS:
                for kind in DocumentKind:
                    Document.objects.update_or_create(
                        practitioner=practitioner, kind=kind, defaults={"status": DocumentStatus.VERIFIED}
                    )
            case Part.BACKGROUND_CHECK:
                BackgroundCheck.objects.update_or_create(
                    practitioner=practitioner, defaults={"status": CheckStatus.CLEAR}
                )
            case Part.TRAINING:
                for module in TrainingModule.objects.all():
                    TrainingCompletion.objects.get_or_create(practitioner=practitioner, module=module)
            case Part.SUBSCRIPTION:
                user.subscriptions.create(  # type: ignore[attr-defined]
                    price=10, currency="EUR", payment_method="card", current_period_end=clock.now() + 30 * DAY
                )
            case Part.SERVICES:
                make_event_type(user)


def status_of(practitioner: Practitioner) -> tuple[str, str]:
    practitioner.refresh_from_db()
    return practitioner.status, practitioner.status_reason


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_who_has_everything_is_onboarded_at_once(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, *Part)
    started = env.now
    result = env.run(PractitionerOnboardingWorkflow.run, someone.pk)
    assert result == {"practitioner_id": someone.pk, "status": "completed", "done": PARTS}
    assert env.now - started < DAY
    assert status_of(someone) == (PractitionerStatus.ACTIVE, "")
    assert someone.activated_at is not None
    assert list(someone.parts.values_list("part", "status", "source")) == [(part, "done", "check") for part in PARTS]
    assert mail.outbox == []


def test_the_rows_are_looked_at_every_interval(env: WorkflowEnvironment, someone: Practitioner) -> None:
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    assert status_of(someone)[0] == PractitionerStatus.ONBOARDING
    for number, part in enumerate(Part):
        assert ask(handle, "progress")["current"] == part
        assert ask(handle, "progress")["done"] == PARTS[:number]
        complete(someone, part)
        env.skip(3 * DAY)  # the longest interval
    assert handle.result()["status"] == "completed"


def test_signals_end_each_wait_at_once(env: WorkflowEnvironment, someone: Practitioner) -> None:
    started = env.now
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    for signal in (
        "profile_completed",
        "documents_verified",
        "background_check_completed",
        "training_completed",
        "subscription_activated",
        "services_configured",
    ):
        tell(env, handle, signal)
    assert handle.result() == {"practitioner_id": someone.pk, "status": "completed", "done": PARTS}
    assert env.now - started < dt.timedelta(hours=1)
    assert {part.source for part in someone.parts.all()} == {"signal"}
    assert someone.background_checks.get().status == CheckStatus.CLEAR


def test_signals_may_come_before_their_turn(env: WorkflowEnvironment, someone: Practitioner) -> None:
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    for signal in (
        "services_configured",
        "subscription_activated",
        "training_completed",
        "background_check_completed",
        "documents_verified",
    ):
        tell(env, handle, signal)
    assert ask(handle, "progress")["current"] == "profile"
    tell(env, handle, "profile_completed")
    assert handle.result()["status"] == "completed"


@pytest.mark.parametrize(("stuck", "days"), list(zip(Part, [14, 14, 30, 30, 7, 7], strict=True)))
def test_a_part_that_is_not_done_in_time_stalls_it(
    env: WorkflowEnvironment, someone: Practitioner, stuck: Part, days: int
) -> None:
    complete(someone, *(part for part in Part if part != stuck))
    started = env.now
    result = env.run(PractitionerOnboardingWorkflow.run, someone.pk)
    assert (result["status"], result["part"]) == ("stalled", stuck)
    assert f"not complete after {days} days; missing: " in result["reason"]
    assert dt.timedelta(days=days) <= env.now - started < dt.timedelta(days=days, minutes=1)
    assert status_of(someone) == (PractitionerStatus.STALLED, result["reason"])
    assert someone.parts.get(part=stuck).status == PartStatus.STALLED
    assert result["done"] == PARTS[: PARTS.index(str(stuck))]


def test_the_reason_says_what_is_missing(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, *(part for part in Part if part != Part.DOCUMENTS))
    for kind, status in ((DocumentKind.IDENTITY, "rejected"), (DocumentKind.INSURANCE, "submitted")):
        Document.objects.create(practitioner=someone, kind=kind, status=status, reason="unreadable")
    reason = env.run(PractitionerOnboardingWorkflow.run, someone.pk)["reason"]
    assert "identity document: rejected, unreadable" in reason
    assert "qualification: not handed in" in reason
    assert "insurance: not reviewed yet" in reason


def test_what_comes_on_the_last_day_counts(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, *list(Part)[1:])
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    env.skip(13.5 * DAY)
    complete(someone, Part.PROFILE)
    assert handle.result()["status"] == "completed"


def test_who_has_stalled_can_begin_again(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, *list(Part)[:-1])
    assert env.run(PractitionerOnboardingWorkflow.run, someone.pk)["status"] == "stalled"
    complete(someone, Part.SERVICES)
    assert env.run(PractitionerOnboardingWorkflow.run, someone.pk)["status"] == "completed"
    assert status_of(someone) == (PractitionerStatus.ACTIVE, "")


def test_a_failed_background_check_rejects(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, *(part for part in Part if part != Part.BACKGROUND_CHECK))
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    someone.background_checks.update(status=CheckStatus.FAILED, reason="a false name")
    result = handle.result()
    assert (result["status"], result["part"], result["reason"]) == ("rejected", "background_check", "a false name")
    assert status_of(someone) == (PractitionerStatus.REJECTED, "a false name")


def test_a_failed_background_check_can_be_told(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, Part.PROFILE, Part.DOCUMENTS)
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    started = env.now
    tell(env, handle, "background_check_completed", False, "a conviction")
    assert handle.result()["status"] == "rejected"
    assert env.now - started < DAY
    assert status_of(someone) == (PractitionerStatus.REJECTED, "a conviction")
    assert someone.background_checks.get().reason == "a conviction"


def test_a_cancelled_onboarding_says_so(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, Part.PROFILE)
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    handle.cancel("a mistake")
    assert handle.has_ended()
    assert handle.status == ExecutionStatus.CANCELLED
    assert status_of(someone) == (PractitionerStatus.STALLED, "the onboarding was cancelled")
    assert not WorkflowExecution.objects.filter(status__in=OPEN_STATUSES).exists(), "nor does its child go on"


def test_progress_answers_before_during_and_after(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, Part.PROFILE, Part.DOCUMENTS, Part.BACKGROUND_CHECK)
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    during = ask(handle, "progress")
    assert (during["status"], during["current"], during["percent"]) == ("running", "training", 50)
    assert during["remaining"] == ["training", "subscription", "services"]
    assert handle.result()["status"] == "stalled"
    after = ask(handle, "progress")
    assert (after["status"], after["current"]) == ("stalled", "")
    assert "Safety" in after["reason"]


def test_progress_counts_the_days(env: WorkflowEnvironment, someone: Practitioner) -> None:
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    env.skip(2.5 * DAY)
    found = ask(handle, "progress")
    assert (found["current"], found["attempt"], found["of"]) == ("profile", 3, 14)
    assert "a bio" in found["missing"]


def test_who_waits_is_reminded_twice(env: WorkflowEnvironment, someone: Practitioner) -> None:
    env.run(PractitionerOnboardingWorkflow.run, someone.pk)
    assert [message.subject for message in mail.outbox] == ["Your onboarding: profile"] * 2
    assert "- a bio" in str(mail.outbox[0].body)


def test_it_goes_on_without_mail(env: WorkflowEnvironment, someone: Practitioner) -> None:
    User.objects.filter(pk=someone.pk).update(email="no address")
    complete(someone, *list(Part)[1:])
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk)
    complete(someone, Part.PROFILE)
    assert handle.result()["status"] == "completed"


def test_somebody_who_is_no_practitioner_is_named(env: WorkflowEnvironment) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(PractitionerOnboardingWorkflow.run, 4711)
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert "no practitioner 4711" in str(error)


def test_its_parts_are_its_children(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, *Part)
    handle = env.start(PractitionerOnboardingWorkflow.run, someone.pk, id="prue")
    handle.result()
    children = WorkflowExecution.objects.filter(parent_id=handle.execution.id).order_by("created_at")
    assert [(child.definition, child.business_id) for child in children] == [
        ("VerificationWorkflow", "prue-verification"),
        ("TrainingWorkflow", "prue-training"),
        ("PractitionerSubscriptionWorkflow", "prue-subscription"),
    ]


# -- the parts, alone --------------------------------------------------------------------------------------------------


def test_verification_runs_alone(env: WorkflowEnvironment, someone: Practitioner) -> None:
    handle = env.start(VerificationWorkflow.run, someone.pk)
    tell(env, handle, "documents_verified")
    assert ask(handle, "progress")["current"] == "background_check"
    tell(env, handle, "background_check_completed")
    assert handle.result() == {
        "practitioner_id": someone.pk,
        "status": "completed",
        "done": ["documents", "background_check"],
    }
    assert status_of(someone)[0] == PractitionerStatus.NEW


def test_verification_alone_rejects_and_stalls(env: WorkflowEnvironment, someone: Practitioner) -> None:
    handle = env.start(VerificationWorkflow.run, someone.pk)
    tell(env, handle, "documents_verified")
    tell(env, handle, "background_check_completed", False)
    assert handle.result()["status"] == "rejected"
    assert handle.result()["reason"] == "Background check failed"
    complete(someone, Part.DOCUMENTS)
    started = env.now
    assert env.run(VerificationWorkflow.run, someone.pk)["status"] == "stalled", "another check is asked for"
    assert env.now - started >= 30 * DAY
    assert someone.background_checks.count() == 2


@pytest.mark.parametrize(
    ("workflow", "part", "signal", "days"),
    [
        (TrainingWorkflow, Part.TRAINING, "training_completed", 30),
        (PractitionerSubscriptionWorkflow, Part.SUBSCRIPTION, "subscription_activated", 7),
    ],
)
def test_training_and_subscription_run_alone(
    env: WorkflowEnvironment, someone: Practitioner, workflow: Any, part: Part, signal: str, days: int
) -> None:
    started = env.now
    stalled = env.run(workflow.run, someone.pk)
    assert (stalled["status"], stalled["part"]) == ("stalled", part)
    assert env.now - started >= days * DAY
    handle = env.start(workflow.run, someone.pk)
    tell(env, handle, signal)
    assert handle.result()["status"] == "completed"
    complete(someone, part)
    assert env.run(workflow.run, someone.pk)["status"] == "completed"


def test_no_required_training_is_nothing_to_wait_for(env: WorkflowEnvironment, someone: Practitioner) -> None:
    TrainingModule.objects.update(is_required=False)
    assert env.run(TrainingWorkflow.run, someone.pk)["status"] == "completed"


def test_a_cancelled_subscription_counts_to_its_end(env: WorkflowEnvironment, someone: Practitioner) -> None:
    complete(someone, Part.SUBSCRIPTION)
    someone.user.subscriptions.update(status="cancelled")  # type: ignore[attr-defined]
    assert env.run(PractitionerSubscriptionWorkflow.run, someone.pk)["status"] == "completed"
    someone.user.subscriptions.update(current_period_end=clock.now() - DAY)  # type: ignore[attr-defined]
    assert env.run(PractitionerSubscriptionWorkflow.run, someone.pk)["status"] == "stalled"
