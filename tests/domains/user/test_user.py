"""Users: onboarding over a day, and batches as one chord."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail

from automation.domains.user.workflows import (
    BatchProcessingWorkflow,
    BatchProcessingWorkflowInput,
    OnboardingWorkflowInput,
    UserOnboardingWorkflow,
)
from automation.durable.exceptions import WorkflowFailureError
from automation.durable.testing import WorkflowEnvironment
from automation.models import ExecutionStep, User
from automation.services import running

DAY = dt.timedelta(days=1)


@pytest.fixture
def env(db: None) -> Iterator[WorkflowEnvironment]:
    with WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


@pytest.fixture
def user(env: WorkflowEnvironment) -> User:
    return User.objects.create_user("john@example.com", first_name="John")


def cause(caught: pytest.ExceptionInfo[WorkflowFailureError]) -> BaseException:
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return error


# -- onboarding --------------------------------------------------------------------------------------------------------


def test_a_user_is_welcomed_and_asked_a_day_later(env: WorkflowEnvironment, user: User) -> None:
    started = env.now
    handle = env.start(UserOnboardingWorkflow.run, OnboardingWorkflowInput(user.pk, user.email, "John"))
    assert [message.subject for message in mail.outbox] == ["Welcome, John"]
    env.skip(DAY - dt.timedelta(minutes=1))
    assert len(mail.outbox) == 1
    result = handle.result()
    assert env.now - started >= DAY
    assert (result["status"], result["user_id"]) == ("completed", user.pk)
    assert result["welcome"]["status"] == result["follow_up"]["status"] == "sent"
    assert [message.to for message in mail.outbox] == [["john@example.com"]] * 2
    assert "Hello John" in str(mail.outbox[1].body)
    assert [name for name, _ in handle.activities()] == [
        "process_user_activity",
        "send_email_activity",
        "send_email_activity",
    ]


def test_it_is_started_by_its_registered_name(env: WorkflowEnvironment, user: User) -> None:
    id = running.start("user_onboarding", texts={"user_id": str(user.pk), "email": user.email, "name": "John"})
    assert env.handle(id).result()["status"] == "completed"


def test_a_user_that_there_is_not_is_written_to_by_nobody(env: WorkflowEnvironment) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(UserOnboardingWorkflow.run, OnboardingWorkflowInput(4711, "nobody@example.com", "Nobody"))
    assert "4711" in str(cause(caught))
    assert mail.outbox == []


def test_an_address_that_is_none_ends_it(env: WorkflowEnvironment, user: User) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        env.run(UserOnboardingWorkflow.run, OnboardingWorkflowInput(user.pk, "not an address", "John"))
    assert "valid email address" in str(cause(caught))
    assert mail.outbox == []


@pytest.mark.parametrize("name", ["", "{0}", "John\r\nBcc: eve@example.com", "Ünïcode 🐈"])
def test_any_name_is_a_name(env: WorkflowEnvironment, user: User, name: str) -> None:
    env.run(UserOnboardingWorkflow.run, OnboardingWorkflowInput(user.pk, user.email, name))
    assert len(mail.outbox) == 2
    assert mail.outbox[0].to == [user.email]
    assert mail.outbox[0].bcc == []


# -- batches -----------------------------------------------------------------------------------------------------------


def process(env: WorkflowEnvironment, *users: int, id: str = "b-1") -> Any:
    return env.run(BatchProcessingWorkflow.run, BatchProcessingWorkflowInput(id, list(users)))


def test_a_batch_is_one_chord(env: WorkflowEnvironment) -> None:
    users = [User.objects.create_user(f"u{number}@example.com").pk for number in range(20)]
    assert process(env, *users) == {"batch_id": "b-1", "total": 20, "processed": 20, "failed": 0, "failures": []}
    steps = ExecutionStep.objects.filter(name="process_user_activity")
    assert steps.count() == 20
    assert len(set(steps.values_list("canvas", flat=True))) == 1


def test_a_failure_concerns_its_own_user(env: WorkflowEnvironment, user: User) -> None:
    result = process(env, user.pk, 9_999_999)
    assert (result["processed"], result["failed"]) == (1, 1)
    [failure] = result["failures"]
    assert failure["user_id"] == 9_999_999
    assert "no user" in failure["error"]


def test_a_user_named_twice_is_processed_once(env: WorkflowEnvironment, user: User) -> None:
    assert process(env, user.pk, user.pk)["total"] == 1
    assert ExecutionStep.objects.filter(name="process_user_activity").count() == 1


def test_an_empty_batch_is_done(env: WorkflowEnvironment) -> None:
    assert process(env)["total"] == 0


def test_a_batch_needs_an_id(env: WorkflowEnvironment) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        process(env, id=" ")
    assert "batch_id" in str(cause(caught))
