"""What the engine tells the rest: that a step is being run, and that an execution has ended."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from automation.durable.records import Ending, ExecutionRecord
from automation.durable.runner import Ran

StepHook = Callable[[str, uuid.UUID, int, Callable[[], Ran]], Ran]
EndHook = Callable[[ExecutionRecord, Ending], None]

_step_hook: StepHook | None = None
_end_hooks: list[EndHook] = []


def on_step(hook: StepHook | None) -> None:
    """Have `hook(activity name, execution id, seq, run)` run every attempt in this process; it must call `run` once and
    return what that returns."""
    global _step_hook
    _step_hook = hook


def step_hook() -> StepHook | None:
    """The hook that runs attempts in this process, for whoever wraps it."""
    return _step_hook


def on_end(hook: EndHook) -> None:
    """Have `hook(execution, ending)` called after an execution's end has been committed, in the process that did it.
    A hint: a process that dies right there calls nothing."""
    _end_hooks.append(hook)


def step(name: str, execution: uuid.UUID, seq: int, run: Callable[[], Ran]) -> Ran:
    """Run an attempt, as the hook wants it."""
    return run() if _step_hook is None else _step_hook(name, execution, seq, run)


def ended(execution: ExecutionRecord, ending: Ending) -> None:
    for hook in _end_hooks:
        hook(execution, ending)
