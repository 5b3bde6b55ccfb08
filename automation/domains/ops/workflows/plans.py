"""Deployments and provisionings: plans that are undone when they fail."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from typing import Any, ClassVar

from automation.domains.ops import activities
from automation.domains.ops.activities.plans import PlannedCommand
from automation.domains.ops.models import PlanStatus
from automation.domains.ops.plans import Plan, PlanStep, listed, problems
from automation.durable import workflow
from automation.durable.base import BaseWorkflow, monitored_workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ActivityError, ApplicationError

LIMIT = dt.timedelta(minutes=1)
OVER = dt.timedelta(minutes=2)
"""What an attempt may take above its command's own limit."""

BEATS = dt.timedelta(minutes=1)
HEALTH_TIMEOUT = 10.0
RETRIES = RetryPolicy(initial_interval=dt.timedelta(seconds=5), maximum_attempts=5)
"""For what is no answer of the command: a host that cannot be reached, a worker that was lost."""


class StepFailed(Exception):
    """A step did not work: `reason`, and whether its `run` had."""

    def __init__(self, step: PlanStep, reason: str, *, was_run: bool) -> None:
        super().__init__(f"{step.name}: {reason}")
        self.was_run = was_run


class PlanWorkflow(BaseWorkflow):
    """Runs a plan's steps in order; the first that fails has what was done undone, in reverse."""

    kind: ClassVar[str] = ""
    is_provisioning: ClassVar[bool] = False

    def __init__(self) -> None:
        self.report: list[dict[str, Any]] = []
        self.run_id = 0
        self.late: dict[str, Any] | None = None  # what a command came to that was to be stopped

    async def carry_out(self, plan: Plan) -> dict[str, Any]:
        """`status` ("succeeded"), `run_id`, `steps`: `name` and `status` (done, skipped) of each.

        Raises ApplicationError of type PlanFailed when it was undone, PlanStuck when not all of it could be, with this
        report as its detail; BadPlan before anything is run.
        """
        if found := problems(plan, checks_required=self.is_provisioning):
            raise ApplicationError(f"the plan cannot be run: {listed(found)}", type="BadPlan", non_retryable=True)
        begun = await self.execute_activity(
            activities.begin_plan, self.kind, plan.name, plan.runner, start_to_close_timeout=LIMIT
        )
        self.run_id = begun["run_id"]
        to_undo: list[PlanStep] = []
        try:
            for step in plan.steps:
                await self._step(plan, step, to_undo)
            await self._healthy(plan.health_url, plan.health_attempts, plan.health_interval_seconds, plan.steps[-1])
        except asyncio.CancelledError:
            await self._undo(plan, to_undo, "it was cancelled")
            raise
        except (StepFailed, ActivityError) as error:
            reason = str(error if isinstance(error, StepFailed) else error.cause or error)
            raise await self._undo(plan, to_undo, reason) from error
        await self._end(PlanStatus.SUCCEEDED)
        return self._shown("succeeded")

    async def _step(self, plan: Plan, step: PlanStep, to_undo: list[PlanStep]) -> None:
        entry = {"name": step.name, "status": "running"}
        self.report.append(entry)
        try:
            if step.check and (await self._command(plan, step, "check", step.check))["ok"]:
                entry["status"] = "skipped"
                return
            if step.undo_partial:
                to_undo.append(step)
            try:
                ran = await self._run(plan, step)
            except asyncio.CancelledError:
                if self.late and self.late["ok"] and step not in to_undo:
                    to_undo.append(step)
                raise
            if not ran["ok"]:
                raise StepFailed(step, ran["summary"], was_run=False)
            if step not in to_undo:
                to_undo.append(step)
            if self.is_provisioning and not (checked := await self._command(plan, step, "check", step.check))["ok"]:
                raise StepFailed(step, f"it ran, and its check says that it is not done: {checked['summary']}",
                                 was_run=True)  # fmt: skip
            await self._healthy_step(plan, step)
        except (StepFailed, ActivityError, asyncio.CancelledError):
            entry["status"] = "failed"
            raise
        entry["status"] = "done"

    async def _run(self, plan: Plan, step: PlanStep) -> dict[str, Any]:
        ran: dict[str, Any] = {}
        for _ in range(step.retries + 1):
            ran = await self._command(plan, step, "run", step.run)
            if ran["ok"]:
                break
        return ran

    async def _healthy_step(self, plan: Plan, step: PlanStep) -> None:
        if step.health:
            for attempt in range(step.health_attempts):
                if attempt:
                    await workflow.sleep(step.health_interval_seconds)
                found = await self._command(plan, step, "health", step.health)
                if found["ok"]:
                    break
            else:
                raise StepFailed(step, f"it is not healthy: {found['summary']}", was_run=True)
        await self._healthy(step.health_url, step.health_attempts, step.health_interval_seconds, step)

    async def _healthy(self, url: str, attempts: int, interval: float, step: PlanStep) -> None:
        """Ask until it answers; the step is the one to blame."""
        if not url:
            return
        summary = ""
        for attempt in range(attempts):
            if attempt:
                await workflow.sleep(interval)
            found = await self.execute_activity(
                activities.probe_health, url, HEALTH_TIMEOUT, start_to_close_timeout=LIMIT
            )
            if found["ok"]:
                return
            summary = found["summary"]
        raise StepFailed(step, f"it is not healthy: {summary}", was_run=True)

    async def _command(self, plan: Plan, step: PlanStep, phase: str, argv: list[str]) -> dict[str, Any]:
        command = PlannedCommand(
            run_id=self.run_id,
            step=step.name,
            phase=phase,
            argv=argv,
            timeout_seconds=step.timeout_seconds,
            target=step.target or plan.target,
            cwd=step.cwd,
            env=step.env,
        )
        running = workflow.start_activity(
            activities.run_plan_command,
            command,
            start_to_close_timeout=dt.timedelta(seconds=step.timeout_seconds) + OVER,
            heartbeat_timeout=BEATS,
            retry_policy=RETRIES,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"{phase} {step.name}",
        )
        self.late = None
        try:
            result: dict[str, Any] = await asyncio.shield(running)
        except asyncio.CancelledError:
            # What is cancelled is undone, and not while a command still runs; it may also get done meanwhile.
            running.cancel()
            with contextlib.suppress(ActivityError, asyncio.CancelledError):
                self.late = await running
            raise
        return result

    async def _undo(self, plan: Plan, steps: list[PlanStep], reason: str) -> ApplicationError:
        """Undo what was done, in reverse, whatever of it fails; the error to end with."""
        stuck: list[str] = []
        by_name = {entry["name"]: entry for entry in self.report}
        for step in reversed(steps):
            if not step.undo:
                by_name[step.name]["undone"] = "there is no undo"
                continue
            try:
                undone = await self._command(plan, step, "undo", step.undo)
                problem = "" if undone["ok"] else undone["summary"]
            except ActivityError as error:
                problem = str(error.cause or error)
            by_name[step.name]["undone"] = problem or "yes"
            if problem:
                stuck.append(f"{step.name} could not be undone: {problem}")
        status = PlanStatus.STUCK if stuck else PlanStatus.UNDONE
        problem = "; ".join([reason, *stuck])
        await self._end(status, problem)
        return ApplicationError(
            f"the {self.kind} {plan.name!r} failed: {problem}",
            self._shown(str(status)),
            type="PlanStuck" if stuck else "PlanFailed",
            non_retryable=True,
        )

    async def _end(self, status: PlanStatus, problem: str = "") -> None:
        await self.execute_activity(
            activities.end_plan, self.run_id, str(status), problem, start_to_close_timeout=LIMIT
        )

    def _shown(self, status: str) -> dict[str, Any]:
        return {"status": status, "run_id": self.run_id, "steps": self.report}

    @workflow.query
    def progress(self) -> list[dict[str, Any]]:
        """The steps so far: `name`, `status` (running, done, skipped, failed) and, of those undone, `undone`."""
        return [dict(entry) for entry in self.report]


@workflow.defn
@monitored_workflow(name="DeploymentWorkflow")
class DeploymentWorkflow(PlanWorkflow):
    """Deploys: runs a plan of steps with undo, timeout and health check; a failed step undoes what was done, in
    reverse."""

    kind = "deployment"

    @workflow.run
    async def run(self, plan: Plan) -> dict[str, Any]:
        """See `PlanWorkflow.carry_out`."""
        return await self.carry_out(plan)


@workflow.defn
@monitored_workflow(name="ProvisioningWorkflow")
class ProvisioningWorkflow(PlanWorkflow):
    """Provisions: brings hosts into a state. Every step has a check; what is there already is skipped, and what was run
    is checked again. A failed step undoes what was done, in reverse."""

    kind = "provisioning"
    is_provisioning = True

    @workflow.run
    async def run(self, plan: Plan) -> dict[str, Any]:
        """See `PlanWorkflow.carry_out`."""
        return await self.carry_out(plan)
