"""What the engine tells the rest: that a step is being run, and that an execution has ended."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from automation.durable.records import Ending, ExecutionRecord
from automation.durable.runner import Ran

StepHook = Callable[[str, uuid.UUID, int, Callable[[], Ran]], Ran]
EndHook = Callable[[ExecutionRecord, Ending], None]

WaitHook = Callable[[float], None]

_step_hook: StepHook | None = None
_wait_hook: WaitHook | None = None
_end_hooks: list[EndHook] = []


def on_step(hook: StepHook | None) -> None:
    """Have `hook(activity name, execution id, seq, run)` run every attempt in this process; it must call `run` once and
    return what that returns."""
    global _step_hook
    _step_hook = hook


def step_hook() -> StepHook | None:
    """The hook that runs attempts in this process, for whoever wraps it."""
    return _step_hook


def on_wait(hook: WaitHook | None) -> WaitHook | None:
    """Have `hook(seconds)` called in place of waiting before rows are looked at again; it may make things happen
    instead. Returns the hook before it."""
    global _wait_hook
    before, _wait_hook = _wait_hook, hook
    return before


def waiting_is_replaced() -> bool:
    """Whether a hook makes things happen where others wait."""
    return _wait_hook is not None


def wait(seconds: float) -> None:
    """Wait before looking at rows again, as everybody does who waits for an execution."""
    if _wait_hook is None:
        time.sleep(seconds)
    else:
        _wait_hook(seconds)


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
