"""What a synchronous test holds of an execution that it has started."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from automation.durable import control, failures, payloads
from automation.durable.client import SyncWorkflowHandle
from automation.durable.exceptions import CancelledError, TerminatedError, TimeoutError, WorkflowFailureError
from automation.durable.testing.courier import Stuck, story
from automation.models import OPEN_STATUSES, ExecutionStatus, ExecutionStep, WorkflowExecution

if TYPE_CHECKING:
    from automation.durable.testing.environment import WorkflowEnvironment


class EnvironmentHandle:
    """One workflow id in an environment. `run_id` is the run that it was started with; what is asked of the handle is
    asked of its latest run (continue-as-new begins further ones)."""

    def __init__(self, environment: WorkflowEnvironment, run_id: uuid.UUID, result_hint: Any = Any) -> None:
        self._environment = environment
        self._result_hint = result_hint
        self.run_id = run_id

    # -- looking ---------------------------------------------------------------------------------------------------

    @property
    def execution(self) -> WorkflowExecution:
        """The latest run's row, read anew."""
        row = WorkflowExecution.objects.get(id=self.run_id)
        while row.status == ExecutionStatus.CONTINUED:
            following = WorkflowExecution.objects.filter(previous_run_id=row.id).order_by("-id").first()
            if following is None:
                break
            row = following
        return row

    @property
    def id(self) -> str:
        """The workflow id: the one given, or the run's."""
        return WorkflowExecution.objects.get(id=self.run_id).workflow_id_of_caller

    @property
    def status(self) -> ExecutionStatus:
        return ExecutionStatus(self.execution.status)

    @property
    def steps(self) -> list[ExecutionStep]:
        """The latest run's history, in the order in which its code asked; what came from outside first."""
        return list(ExecutionStep.objects.filter(execution=self.execution).order_by("seq"))

    def activities(self) -> list[tuple[str, Any]]:
        """(name, arguments) of every activity that the latest run asked for, in order."""
        return [
            (step.name, payloads.decode(step.input))
            for step in self.steps
            if step.kind in ("activity", "local_activity")
        ]

    def story(self) -> str:
        """The rows as text, for a failing test's message."""
        return story(self.execution.id)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def result(self, *, within: dt.timedelta | None = None) -> Any:
        """Let things happen until it has ended, and return its result as its annotation says.

        Raises WorkflowFailureError, whose `cause` says how it ended otherwise; and Stuck (an AssertionError) when it is
        parked or given up, when nothing is due any more, or when it has not ended `within` this time.
        """
        row = self._environment._wait_for_end(self, within)
        match row.status:
            case ExecutionStatus.COMPLETED:
                return payloads.decode(row.result, self._result_hint)
            case ExecutionStatus.FAILED:
                cause = failures.decode(row.failure)
            case ExecutionStatus.CANCELLED:
                cause = CancelledError(row.error_message or "Cancelled")
            case ExecutionStatus.TERMINATED:
                cause = TerminatedError(row.error_message or "Terminated")
            case ExecutionStatus.TIMED_OUT:
                cause = TimeoutError(row.error_message or "Timed out", type=None, last_heartbeat_details=())
            case _:
                stack = (payloads.decode(row.failure) or {}).get("stack", "") if row.failure else ""
                raise Stuck(f"{row.definition} is {row.status}: {row.error_message}\n{stack}{self.story()}")
        raise WorkflowFailureError(cause=cause)

    def has_ended(self) -> bool:
        return self.execution.status not in OPEN_STATUSES

    # -- acting ----------------------------------------------------------------------------------------------------

    @property
    def client_handle(self) -> SyncWorkflowHandle:
        """The client's handle of the latest run, which offers more."""
        return SyncWorkflowHandle(self.id, run_id=str(self.execution.id), result_type=self._result_hint)

    def signal(self, signal: str | Callable[..., Any], *args: Any) -> None:
        """Send a signal, by its method or name, and let the code hear of it at once."""
        self.client_handle.signal(signal, args=args)
        self._environment.settle()

    def query(self, query: str | Callable[..., Any], *args: Any) -> Any:
        """Ask the code about its state."""
        return self.client_handle.query(query, args=args)

    def update(self, update: str | Callable[..., Any], *args: Any, id: str | None = None) -> Any:
        """Send an update and wait for its result. Raises WorkflowUpdateFailedError when it is refused or fails."""
        return self.client_handle.execute_update(update, args=args, id=id)

    execute_update = update

    def cancel(self, reason: str = "") -> None:
        """Ask its code to end; let it hear of that at once."""
        control.cancel(self.execution.id, reason)
        self._environment.settle()

    def terminate(self, reason: str = "") -> None:
        """End it; its code is not asked."""
        control.terminate(self.execution.id, reason)
        self._environment.settle()

    def pause(self) -> None:
        """Start nothing new."""
        control.pause(self.execution.id)
        self._environment.settle()

    def resume(self) -> None:
        """Go on after `pause`."""
        control.resume(self.execution.id)
        self._environment.settle()

    def retry(self) -> None:
        """Go on from its failed steps."""
        control.retry(self.execution.id)
        self._environment.settle()
