"""An organizer's workflow, run as a durable Python workflow: its stages are one chain. And what the app registers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from automation import bulk_testing, system
from automation.actions.calls import ActionCall
from automation.actions.registry import registry
from automation.durable import workflow
from automation.durable.exceptions import ApplicationError, SkippedError

DEFINITION = "automation"
"""The registered name of `AutomationWorkflow`: `WorkflowExecution.definition` of what organizers build."""


@dataclass(frozen=True)
class PlannedAction:
    """What the chain needs to know of an action; the rest is read from the version when it runs."""

    id: str
    name: str
    activity: str
    delay_minutes: int = 0
    stop_on_failure: bool = False


@dataclass(frozen=True)
class AutomationInput:
    """Stages run one after the other, the actions of a stage in parallel."""

    stages: list[list[PlannedAction]]


@workflow.defn(name=DEFINITION)
class AutomationWorkflow:
    @workflow.run
    async def run(self, data: AutomationInput) -> dict[str, int]:
        """Counts of actions: `executed`, `failed`, and `skipped` by a condition or by a failure before them.

        Raises ApplicationError of type 'ActionsFailed', with these counts as its detail, when an action failed.
        """
        stages = [_stage(actions) for actions in data.stages if actions]
        results = await workflow.chain(*stages, return_exceptions=True)
        outcomes = [outcome for result in results for outcome in (result if isinstance(result, list) else [result])]
        found = Counter(outcome_of(outcome) for outcome in outcomes)
        counts = {name: found[name] for name in ("executed", "failed", "skipped")}
        if counts["failed"]:
            first = next(outcome for outcome in outcomes if outcome_of(outcome) == "failed")
            raise ApplicationError(
                f"{counts['failed']} of {len(outcomes)} actions failed; the first: {_reason(first)}",
                counts,
                type="ActionsFailed",
                non_retryable=True,
            )
        return counts


def outcome_of(result: Any) -> str:
    """'executed', 'failed' or 'skipped': what an action's result, or the error in its place, counts as."""
    if isinstance(result, BaseException):
        return "skipped" if isinstance(result.__cause__ or result, SkippedError) else "failed"
    status = result.get("status") if isinstance(result, dict) else None
    return "skipped" if status in ("skipped", "skipped_conditions") else "executed"


def _stage(actions: list[PlannedAction]) -> workflow.Step | workflow.Group:
    steps = [_step(action) for action in actions]
    return steps[0] if len(steps) == 1 else workflow.group(*steps)


def _step(action: PlannedAction) -> workflow.Step:
    kind = registry.of_activity(action.activity)
    return workflow.step(
        action.activity,
        ActionCall(action_id=action.id),
        start_delay=timedelta(minutes=action.delay_minutes) if action.delay_minutes else None,
        start_to_close_timeout=kind.timeout,
        retry_policy=kind.step_policy,
        stop_on_failure=action.stop_on_failure,
        summary=action.name,
    )


def _reason(error: Any) -> str:
    return str(error.__cause__ or error)


WORKFLOWS: list[type] = [AutomationWorkflow, *bulk_testing.WORKFLOWS, *system.WORKFLOWS]
