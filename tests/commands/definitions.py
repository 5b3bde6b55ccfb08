"""Workflows and activities that show what a worker runs at once, and what parameters come to."""

from __future__ import annotations

import datetime as dt
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from automation.durable import activity, registry, workflow
from automation.durable.common import RetryPolicy
from automation.durable.exceptions import ApplicationError
from tasks import engine

LIMIT = dt.timedelta(seconds=30)


@contextmanager
def counted(directory: str, kind: str) -> Iterator[None]:
    """Stay in `directory` as a file; leave another one that says how many of the kind there were at once."""
    place = Path(directory)
    mine = place / f"{kind}-{os.getpid()}-{uuid.uuid4().hex}"
    mine.touch()
    try:
        (place / f"seen-{kind}-{len(list(place.glob(f'{kind}-*')))}").touch()
        yield
    finally:
        mine.unlink()


def most(directory: Path, kind: str) -> int:
    """The most of a kind that there were at once."""
    return max((int(path.name.rpartition("-")[2]) for path in directory.glob(f"seen-{kind}-*")), default=0)


@activity.defn(name="commands_count_me")
def count_me(directory: str, seconds: float) -> int:
    with counted(directory, "activity"):
        time.sleep(seconds)
    return os.getpid()


@workflow.defn(name="commands_countdown")
class Countdown:
    """A run for each number, the last of which is none; with a failure at 13 until it is tried again."""

    @workflow.run
    async def run(self, number: int) -> str:
        if number == 13 and workflow.info().attempt == 1:
            raise ApplicationError("not on the first try")
        if number and number != 13:
            workflow.continue_as_new(number - 1)
        return "lift-off"


@workflow.defn(name="commands_crowd")
class Crowd:
    """So many activities in parallel, then as many again one after the other, of which a visit carries some."""

    @workflow.run
    async def run(self, directory: str, members: int, seconds: float, thinks: float = 0.0) -> int:
        self.think(directory, thinks)
        await workflow.group(*(self.step(directory, seconds) for _ in range(members)))
        for _ in range(members):
            self.think(directory, thinks)
            await workflow.execute_activity(count_me, args=[directory, seconds], start_to_close_timeout=LIMIT)
        return members

    def step(self, directory: str, seconds: float) -> workflow.Step:
        return workflow.step(count_me, directory, seconds, start_to_close_timeout=LIMIT)

    def think(self, directory: str, seconds: float) -> None:
        """What workflow code must not do: take time, and count itself."""
        if seconds:
            with counted(directory, "advance"):
                time.sleep(seconds)


@dataclass(frozen=True)
class Signup:
    user_id: int
    email: str
    name: str = "Nobody"


@workflow.defn(name="commands_sign_up")
class SignUp:
    """Takes one dataclass, as ported code does."""

    @workflow.run
    async def run(self, data: Signup) -> dict[str, object]:
        return {"user_id": data.user_id, "email": data.email, "name": data.name}


@workflow.defn(name="commands_plain")
class Plain:
    @workflow.run
    async def run(self, amount: Decimal, at: dt.datetime, ids: list[int], urgent: bool = False) -> list[str]:
        return [str(amount), at.isoformat(), repr(ids), repr(urgent)]


@workflow.defn(name="commands_refused")
class Refused:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("flows_refuse", "this", start_to_close_timeout=LIMIT)


@workflow.defn(name="commands_too_long")
class TooLong:
    @workflow.run
    async def run(self, seconds: float, limit: float) -> None:
        await workflow.execute_activity(
            "flows_sleepy",
            seconds,
            start_to_close_timeout=dt.timedelta(seconds=limit),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


for _workflow in (Countdown, Crowd, SignUp, Plain, Refused, TooLong):
    registry.register_workflow(_workflow)
registry.register_activity(count_me)
engine.register_activities()
