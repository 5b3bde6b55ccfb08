"""The workflows of users."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from automation.durable import workflow
from automation.durable.base import BaseWorkflow, monitored_workflow
from automation.durable.exceptions import ApplicationError
from automation.durable.policies import INTEGRATION_RETRY_POLICY, STANDARD_RETRY_POLICY

LIMIT = dt.timedelta(minutes=2)
FOLLOW_UP_AFTER = dt.timedelta(hours=24)

WELCOME = """Hello {name},

welcome! Your account is ready.

Tomorrow we write again, to ask how it goes."""

FOLLOW_UP = """Hello {name},

your account is a day old. Is there anything that we can help with? Just answer this message."""


@dataclass(frozen=True)
class OnboardingWorkflowInput:
    """Whom to welcome. `email` may differ from the account's."""

    user_id: int
    email: str
    name: str


@workflow.defn(name="user_onboarding")
@monitored_workflow(name="user_onboarding")
class UserOnboardingWorkflow(BaseWorkflow):
    """Welcomes a user: their record is processed, a welcome is mailed, and 24 hours later a follow-up."""

    @workflow.run
    async def run(self, data: OnboardingWorkflowInput) -> dict[str, Any]:
        """`status` ("completed"), `user_id`, and what became of `welcome` and `follow_up`. Raises ActivityError."""
        await self.execute_activity(
            "process_user_activity", {"user_id": data.user_id, "action": "process"}, start_to_close_timeout=LIMIT
        )
        welcome = await self._mail(data, f"Welcome, {data.name}", WELCOME)
        await workflow.sleep(FOLLOW_UP_AFTER)
        follow_up = await self._mail(data, "How is it going?", FOLLOW_UP)
        return {"status": "completed", "user_id": data.user_id, "welcome": welcome, "follow_up": follow_up}

    async def _mail(self, data: OnboardingWorkflowInput, subject: str, text: str) -> Any:
        name = " ".join(data.name.split()) or "there"
        payload = {"to": data.email, "subject": subject, "body": text.format(name=name)}
        return await self.execute_activity(
            "send_email_activity", payload, start_to_close_timeout=LIMIT, retry_policy=INTEGRATION_RETRY_POLICY
        )


@dataclass(frozen=True)
class BatchProcessingWorkflowInput:
    """The users of a batch; one that is named twice is processed once."""

    batch_id: str
    user_ids: list[int]


@workflow.defn
@monitored_workflow(name="BatchProcessingWorkflow")
class BatchProcessingWorkflow(BaseWorkflow):
    """Processes many users in parallel, as one chord; a failure concerns its own user only."""

    @workflow.run
    async def run(self, data: BatchProcessingWorkflowInput) -> dict[str, Any]:
        """`batch_id`, `total`, `processed`, `failed`, and `failures`: `user_id` and `error` of each."""
        if not data.batch_id.strip():
            raise ApplicationError("batch_id must not be empty", type="BadInput", non_retryable=True)
        users = list(dict.fromkeys(data.user_ids))
        results: list[Any] = []
        if users:
            results = await workflow.group(
                *(
                    workflow.step(
                        "process_user_activity",
                        {"user_id": user, "action": "process"},
                        start_to_close_timeout=LIMIT,
                        retry_policy=STANDARD_RETRY_POLICY,
                    )
                    for user in users
                ),
                return_exceptions=True,
            )
        failures = [
            {"user_id": user, "error": str(result.__cause__ or result)}
            for user, result in zip(users, results, strict=True)
            if isinstance(result, BaseException)
        ]
        return {
            "batch_id": data.batch_id,
            "total": len(users),
            "processed": len(users) - len(failures),
            "failed": len(failures),
            "failures": failures,
        }


WORKFLOWS: list[type] = [UserOnboardingWorkflow, BatchProcessingWorkflow]
