"""`trigger_practitioner_workflows`: what it starts, and what it says when it cannot."""

from __future__ import annotations

import io
import uuid
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from automation import clock
from automation.domains.practitioner.models import Practitioner
from automation.models import User, WorkflowExecution


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("trigger_practitioner_workflows", *words, stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("prue@example.com")


def started(printed: str) -> WorkflowExecution:
    return WorkflowExecution.objects.get(id=uuid.UUID(printed.split()[2]))


def test_onboarding_is_started_for_a_practitioner(user: User) -> None:
    Practitioner.objects.create(user=user)
    row = started(run("onboarding", str(user.pk), "--id", "onboarding-prue"))
    assert (row.definition, row.business_id) == ("PractitionerOnboardingWorkflow", "onboarding-prue")
    assert row.input == f"[{user.pk}]"
    assert row.queue == "estuary-practitioner"


def test_a_practitioner_is_onboarded_once_at_a_time(user: User) -> None:
    Practitioner.objects.create(user=user)
    row = started(run("onboarding", str(user.pk)))
    assert row.business_id == f"onboarding-{user.pk}"
    with pytest.raises(CommandError, match="has not ended yet") as caught:
        run("onboarding", str(user.pk))
    assert str(row.id) in str(caught.value)


def test_a_renewal_is_started_for_a_subscription(user: User) -> None:
    subscription = user.subscriptions.create(  # type: ignore[attr-defined]
        price=10, currency="EUR", payment_method="card", current_period_end=clock.now() + timedelta(days=30)
    )
    row = started(run("renewal", str(subscription.pk)))
    assert (row.definition, row.queue) == ("SubscriptionRenewalWorkflow", "estuary-payment")
    assert row.input.startswith(f"[{subscription.pk}")
    with pytest.raises(CommandError, match="has not ended yet"):
        call_command("trigger_payment_workflows", "renewal", str(subscription.pk))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["onboarding", "999999"], "there is no user 999999; expected the id of a practitioner; there are no"),
        (["onboarding", "0"], "whole number from 1"),
        (["onboarding", "prue"], "whole number from 1"),
        (["onboarding"], "ID"),
        (["renewal", "999999"], "there is no subscription 999999; there are none yet"),
        (["payout", "1"], "onboarding"),
        ([], "onboarding|renewal"),
    ],
)
def test_what_it_cannot_start_is_told(db: None, words: list[str], problem: str) -> None:
    with pytest.raises(CommandError) as caught:
        run(*words)
    assert problem in str(caught.value)
    assert not WorkflowExecution.objects.exists()


def test_a_user_without_a_profile_is_no_practitioner(user: User) -> None:
    other = Practitioner.objects.create(user=User.objects.create_user("pat@example.com"))
    with pytest.raises(CommandError) as caught:
        run("onboarding", str(user.pk))
    assert "give them a profile" in str(caught.value)
    assert f"practitioners are: {other.pk}" in str(caught.value)


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--help")
    assert "trigger_practitioner_workflows onboarding 123" in capsys.readouterr().out
