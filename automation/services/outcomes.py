"""What the steps of an automation's execution say about its actions."""

from __future__ import annotations

from collections import Counter
from typing import Any

from automation.durable import payloads
from automation.models import ExecutionStep, StepKind, StepStatus

PENDING, SUCCESS, FAILED = "pending", "success", "failed"
SKIPPED, SKIPPED_CONDITIONS = "skipped", "skipped_conditions"

_STATUS = {
    StepStatus.PENDING: PENDING,
    StepStatus.RUNNING: PENDING,
    StepStatus.FAILED: FAILED,
    StepStatus.DEAD_LETTER: FAILED,
    StepStatus.CANCELLED: SKIPPED,
    StepStatus.SKIPPED: SKIPPED,
}

ACTION_KINDS = (StepKind.ACTIVITY,)


def action_id_of(step: ExecutionStep) -> str:
    """The id of the action that the step runs, or the empty string where it runs none."""
    arguments = payloads.decode(step.input)
    call = arguments[0] if isinstance(arguments, list) and arguments else arguments
    return str(call.get("action_id", "")) if isinstance(call, dict) else ""


def status_of(step: ExecutionStep, result: Any = None) -> str:
    """success, failed, skipped_conditions or skipped; 'pending' for a step that has not ended. `result` is the step's
    decoded output, where the caller has it."""
    if step.status != StepStatus.COMPLETED:
        return _STATUS[StepStatus(step.status)]
    output = payloads.decode(step.output) if result is None else result
    status = output.get("status") if isinstance(output, dict) else None
    return status if status in (SKIPPED, SKIPPED_CONDITIONS) else SUCCESS


def counts(statuses: Counter[str]) -> tuple[int, int]:
    """(executed, failed): what `WorkflowExecution.actions_executed` and `actions_failed` hold."""
    return statuses[SUCCESS], statuses[FAILED]
