"""Chains and groups: what Weir adds to the SDK's model. A chain is one Celery chain, a group one chord, joined once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from automation.durable import current
from automation.durable.common import Priority, RetryPolicy
from automation.durable.members import Activity, make_member, seconds
from automation.durable.options import StepOptions
from automation.durable.outcomes import CanvasMember


@dataclass(frozen=True)
class Step:
    """One member of a chain or a group; made by `step`."""

    member: CanvasMember


@dataclass(frozen=True)
class Group:
    """Members that run in parallel and are joined once; await it, or put it into a chain."""

    members: tuple[Step, ...]
    return_exceptions: bool = False

    def __await__(self) -> Any:
        return _await_canvas([self], self.return_exceptions, flat=True).__await__()


@dataclass(frozen=True)
class Chain:
    """Members that run one after the other; await it."""

    members: tuple[Step | Group, ...]
    return_exceptions: bool = False

    def __await__(self) -> Any:
        return _await_canvas(self.members, self.return_exceptions, flat=False).__await__()


def step(
    activity: Activity,
    *args: Any,
    task_queue: str | None = None,
    result_type: type | None = None,
    schedule_to_close_timeout: dt.timedelta | None = None,
    start_to_close_timeout: dt.timedelta | None = None,
    heartbeat_timeout: dt.timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    priority: int | Priority = 0,
    start_delay: dt.timedelta | None = None,
    stop_on_failure: bool = True,
    summary: str | None = None,
) -> Step:
    """A member of `chain` or `group`.

    start_delay: waited from when its turn comes. stop_on_failure: in a chain, its failure skips what follows.
    """
    options = StepOptions(
        start_to_close=seconds(start_to_close_timeout),
        schedule_to_close=seconds(schedule_to_close_timeout),
        heartbeat=seconds(heartbeat_timeout),
        retry=retry_policy,
        start_delay=seconds(start_delay) or 0.0,
        stop=stop_on_failure,
        summary=summary or "",
    )
    return Step(make_member(activity, args, options, task_queue, priority, result_type))


def group(*members: Step, return_exceptions: bool = False) -> Group:
    """Run the members in parallel, as one Celery chord, and join once. Results in order; a failed member raises its
    ActivityError, or comes back as a value with `return_exceptions`."""
    return Group(members, return_exceptions)


def chain(*members: Step | Group, return_exceptions: bool = False) -> Chain:
    """Run the members one after the other, as one Celery chain; a group among them runs in parallel. A failed member
    skips those after it (see `stop_on_failure`), and raises, or comes back as a value with `return_exceptions`."""
    return Chain(members, return_exceptions)


async def _await_canvas(members: Iterable[Step | Group], return_exceptions: bool, *, flat: bool) -> list[Any]:
    stages = [
        [single.member for single in member.members] if isinstance(member, Group) else [member.member]
        for member in members
    ]
    stages = [stage for stage in stages if stage]
    if not stages:
        return []
    outcomes = iter(await current.run().canvas(stages))
    results: list[Any] = []
    first: BaseException | None = None
    for stage, member in zip(stages, [m for m in members if not isinstance(m, Group) or m.members], strict=True):
        values = []
        for _ in stage:
            value, error = next(outcomes)
            first = first or error
            values.append(value if error is None else error)
        if flat:
            return _raise_first(values, first, return_exceptions)
        results.append(values if isinstance(member, Group) else values[0])
    return _raise_first(results, first, return_exceptions)


def _raise_first(results: list[Any], error: BaseException | None, return_exceptions: bool) -> list[Any]:
    if error is not None and not return_exceptions:
        raise error
    return results
