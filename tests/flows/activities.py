"""Activities for tests: each does one plain thing that can be counted."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings

from automation.durable import activity
from automation.durable.activity import transactional_activity
from automation.durable.exceptions import ApplicationError
from tests.flows.models import Posting

journal: list[tuple[str, str, int]] = []
"""(activity, idempotency key, attempt) of every call in this process, in order: the outside world of fast tests."""


def _note() -> None:
    info = activity.info()
    journal.append((info.activity_type, info.idempotency_key, info.attempt))


@dataclass(frozen=True)
class Point:
    x: int
    y: int


@activity.defn(name="flows_echo")
def echo(value: Any) -> Any:
    _note()
    return value


@activity.defn(name="flows_add")
def add(a: int, b: int) -> int:
    _note()
    return a + b


@activity.defn(name="flows_flaky")
def flaky(value: Any, failures: int) -> Any:
    """Fails in its first attempts, then returns the value."""
    _note()
    if activity.info().attempt <= failures:
        raise ValueError(f"attempt {activity.info().attempt} of {value} failed")
    return value


@activity.defn(name="flows_refuse")
def refuse(value: Any) -> Any:
    _note()
    raise ApplicationError(f"refused {value}", {"value": value}, type="Refused", non_retryable=True)


mended: set[Any] = set()
"""Values that `flows_broken` refuses no more."""


@activity.defn(name="flows_broken")
def broken(value: Any) -> Any:
    """Refuses until somebody has mended it."""
    _note()
    if value not in mended:
        raise ApplicationError(f"broken {value}", non_retryable=True)
    return f"mended {value}"


@activity.defn(name="flows_fail")
def fail(value: Any) -> Any:
    """Fails in every attempt, and may be retried."""
    _note()
    raise RuntimeError(f"failed {value}")


@activity.defn(name="flows_nothing")
def nothing() -> None:
    _note()


@activity.defn(name="flows_point")
def point(x: int, y: int) -> Point:
    return Point(x, y)


@activity.defn(name="flows_mislabelled")
def mislabelled() -> Point:
    """Returns something else than its annotation says."""
    return ["no", "point"]  # type: ignore[return-value]


@activity.defn(name="flows_unwritable")
def unwritable() -> Any:
    return {"fine": 1, "handle": object()}


@activity.defn(name="flows_async_echo")
async def async_echo(value: Any) -> Any:
    _note()
    return value


@activity.defn(name="flows_async_note")
async def async_note(text: str) -> list[str]:
    """Writes a row by Django's async interface, with a heartbeat; returns what it sees of all rows."""
    info = activity.info()
    activity.heartbeat(text, info.workflow_type)
    await Posting.objects.acreate(key=info.idempotency_key, attempt=info.attempt, note=text)
    await asyncio.sleep(0)
    return [posting.note async for posting in Posting.objects.order_by("id")]


@activity.defn(name="flows_async_enter")
@transactional_activity
async def async_enter(note: str, failures: int = 0) -> str:
    """One row, exactly once, by Django's async interface."""
    info = activity.info()
    await Posting.objects.acreate(key=info.idempotency_key, attempt=info.attempt, note=note)
    if info.attempt <= failures:
        raise RuntimeError("after the write")
    return note


left: list[str] = []
"""What tasks that an activity left behind came to."""


@activity.defn(name="flows_async_leave")
async def async_leave(name: str) -> int:
    """Leaves a task behind; returns how many were there before."""

    async def linger() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            left.append(f"{name} was cancelled")
            raise

    before = len(asyncio.all_tasks()) - 2  # this one, and the one that watches its time
    asyncio.get_running_loop().create_task(linger(), name="left behind")
    await asyncio.sleep(0)
    return before


@activity.defn(name="flows_async_nested")
async def async_nested(value: Any) -> Any:
    """Plain code in async code, and async code in that: as a signal's receivers are called."""

    def plain() -> Any:
        return async_to_sync(within)()

    async def within() -> Any:
        return await sync_to_async(lambda: [value, Posting.objects.count()])()

    return await sync_to_async(plain)()


@activity.defn(name="flows_nested")
def nested(value: Any) -> Any:
    """Async code in a plain activity, and plain code in that."""

    async def within() -> Any:
        return await sync_to_async(lambda: [value, Posting.objects.count()])()

    return async_to_sync(within)()


@activity.defn(name="flows_elsewhere", queue=settings.WORKFLOW_BACKGROUND_QUEUE)
def elsewhere(value: Any) -> Any:
    _note()
    return value


@activity.defn(name="flows_limited", rate_limit="100/s")
def limited(value: Any) -> Any:
    _note()
    return value


@activity.defn(name="flows_beating")
def beating(value: Any) -> Any:
    """Leaves a detail for the next attempt, which returns it."""
    _note()
    found = list(activity.info().heartbeat_details)
    activity.heartbeat(value, activity.info().attempt)
    if not found:
        raise RuntimeError("the first attempt fails after its heartbeat")
    return found


@activity.defn(name="flows_until_cancelled")
def until_cancelled(seconds: float) -> str:
    """Heartbeats until it is asked to stop."""
    _note()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        activity.heartbeat()
        if activity.is_cancelled():
            raise ApplicationError("asked to stop", non_retryable=True)
        time.sleep(0.05)
    return "never asked"


@activity.defn(name="flows_sleepy")
def sleepy(seconds: float, value: Any = None) -> Any:
    _note()
    time.sleep(seconds)
    return value


@activity.defn(name="flows_enter")
@transactional_activity
def enter(note: str) -> str:
    """One row, exactly once."""
    info = activity.info()
    _note()
    Posting.objects.create(key=info.idempotency_key, attempt=info.attempt, note=note)
    return note


@activity.defn(name="flows_enter_slowly")
@transactional_activity
def enter_slowly(note: str, seconds: float) -> str:
    info = activity.info()
    Posting.objects.create(key=info.idempotency_key, attempt=info.attempt, note=note)
    time.sleep(seconds)
    return note


@activity.defn(name="flows_enter_and_fail")
@transactional_activity
def enter_and_fail(note: str, failures: int) -> str:
    info = activity.info()
    Posting.objects.create(key=info.idempotency_key, attempt=info.attempt, note=note)
    if info.attempt <= failures:
        raise RuntimeError("after the write")
    return note


@activity.defn(name="flows_note")
def note(text: str) -> None:
    """A row for every attempt, written outside of the outcome's transaction."""
    info = activity.info()
    Posting.objects.create(key=info.idempotency_key, attempt=info.attempt, note=text)


@activity.defn(name="flows_note_and_sleep")
def note_and_sleep(text: str, seconds: float) -> str:
    info = activity.info()
    Posting.objects.create(key=info.idempotency_key, attempt=info.attempt, note=text)
    time.sleep(seconds)
    return f"{text} by attempt {info.attempt}"


@activity.defn(name="flows_post")
def post(url: str) -> int:
    """Calls out, with the step's idempotency key."""
    request = urllib.request.Request(
        url, data=b"{}", headers={"Idempotency-Key": activity.info().idempotency_key}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


@activity.defn(name="flows_poison")
def poison() -> None:
    """Kills the process that runs it."""
    os.kill(os.getpid(), signal.SIGKILL)


@activity.defn(name="flows_hand_out")
def hand_out(text: str) -> None:
    """Leaves its task token in a row, and its outcome to whoever reads it."""
    info = activity.info()
    Posting.objects.create(key=info.idempotency_key, attempt=info.attempt, note=f"{text} {info.task_token.decode()}")
    activity.raise_complete_async()
