"""Recorded histories against today's code: would an execution that began then go on now?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asgiref.sync import sync_to_async

from automation.durable import definitions, registry
from automation.durable.exceptions import NondeterminismError
from automation.durable.histories import WorkflowHistory
from automation.durable.records import ExecutionRecord, StepRecord
from automation.durable.replay import Run
from automation.models import ExecutionStatus, StepKind

History = WorkflowHistory | str | Mapping[str, Any]

_BY_ITS_CODE = (
    ExecutionStatus.COMPLETED,
    ExecutionStatus.FAILED,
    ExecutionStatus.CANCELLED,
    ExecutionStatus.CONTINUED,
)
"""Ends that the code itself came to: it must come to them again."""


@dataclass(frozen=True)
class WorkflowReplayResult:
    """replay_failure: why the code does not fit its history; None where it does."""

    history: WorkflowHistory
    replay_failure: BaseException | None


@dataclass(frozen=True)
class WorkflowReplayResults:
    """replay_failures: by run id."""

    replay_failures: Mapping[str, BaseException]


class Replayer:
    """Replays histories with today's code. Asks for nothing and writes nothing; needs no database.

    workflows: classes on top of those that the installed apps define. A history is what `fetch_history` returns, or its
    JSON. The SDK's other parameters are accepted; what would change what runs (interceptors, plugins) is refused.
    """

    def __init__(
        self,
        *,
        workflows: Sequence[type] = (),
        workflow_task_executor: Any = None,
        workflow_runner: Any = None,
        unsandboxed_workflow_runner: Any = None,
        namespace: str = "ReplayNamespace",
        data_converter: Any = None,
        interceptors: Sequence[Any] = (),
        plugins: Sequence[Any] = (),
        build_id: str | None = None,
        identity: str | None = None,
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        debug_mode: bool = False,
        runtime: Any = None,
        disable_safe_workflow_eviction: bool = False,
        header_codec_behavior: Any = None,
    ) -> None:
        for name, given in (("interceptors", interceptors), ("plugins", plugins)):
            if given:
                raise TypeError(f"Replayer has no {name!r}: see 'Deviations' in docs/workflows.md")
        self._workflows = workflows
        self._failure_types = tuple(workflow_failure_exception_types)

    def replay(self, history: History, *, raise_on_replay_failure: bool = True) -> WorkflowReplayResult:
        """Replay one history. Raises NondeterminismError, or what else the code did wrong; without
        `raise_on_replay_failure` it is in the result."""
        found = _history(history)
        failure = self._failure(found)
        if failure is not None and raise_on_replay_failure:
            raise failure
        return WorkflowReplayResult(found, failure)

    async def replay_workflow(self, history: History, *, raise_on_replay_failure: bool = True) -> WorkflowReplayResult:
        """`replay` for async code."""
        return await sync_to_async(self.replay)(history, raise_on_replay_failure=raise_on_replay_failure)

    async def replay_workflows(
        self, histories: Iterable[History] | AsyncIterable[History], *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResults:
        """Replay several; those that fail are in the result, by run id, unless they are to raise."""
        failures: dict[str, BaseException] = {}
        async for history in _each(histories):
            result = await self.replay_workflow(history, raise_on_replay_failure=raise_on_replay_failure)
            if result.replay_failure is not None:
                failures[result.history.run_id] = result.replay_failure
        return WorkflowReplayResults(failures)

    def _failure(self, history: WorkflowHistory) -> BaseException | None:
        execution, steps = history.records()
        with registry.scoped():
            for workflow in self._workflows:
                definition = definitions.carried_by(workflow)
                types = (*definition.failure_exception_types, *self._failure_types)
                registry.replace_workflow(replace(definition, failure_exception_types=types))
            run: Run | None = None
            try:
                run = Run(execution)
                _replay(run, execution, steps)
            except (NondeterminismError, Exception) as error:
                return error
            finally:
                if run is not None:
                    run.close()
        return None


def _replay(run: Run, execution: ExecutionRecord, steps: Sequence[StepRecord]) -> None:
    if execution.status not in _BY_ITS_CODE:
        known = [step for step in steps if step.resolved_seq is not None or step.kind != StepKind.UPDATE]
        run.replay(known, news=False)
        return
    # The last things that an ended execution asked for were never written.
    run.look(steps, ended=True, paused=False)
    extra = [step for step in steps if step.seq > run.next_seq]
    if extra and not execution.reopened:
        raise NondeterminismError(extra[0].seq, f"{extra[0].kind} {extra[0].name!r}", "nothing more")
    ending = run.decide([]).ending
    if ending is None or ending.status != execution.status:
        raise NondeterminismError(
            run.next_seq + 1,
            f"the end of the execution ({execution.status})",
            "more" if ending is None else f"another end ({ending.status})",
        )


def _history(history: History) -> WorkflowHistory:
    if isinstance(history, WorkflowHistory):
        return history
    data = json.loads(history) if isinstance(history, str) else history
    return WorkflowHistory.from_json(data["workflow_id"], data)


async def _each(histories: Iterable[History] | AsyncIterable[History]) -> Any:
    if isinstance(histories, AsyncIterable):
        async for history in histories:
            yield history
    else:
        for history in histories:
            yield history
