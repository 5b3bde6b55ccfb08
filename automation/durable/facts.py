"""What workflow code can ask about itself besides `info`; named as in the Temporal Python SDK."""

from __future__ import annotations

import asyncio
import enum
import hashlib
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from automation.durable import current
from automation.durable.exceptions import FailureError
from automation.durable.replay import Run

_details: WeakKeyDictionary[Run, str] = WeakKeyDictionary()


class VersioningIntent(enum.IntEnum):
    """Accepted, and without effect: a change of code is told by `patched`."""

    COMPATIBLE = 1
    DEFAULT = 2


class ContinueAsNewVersioningBehavior(enum.IntEnum):
    """Accepted, and without effect: a new run runs today's code."""

    UNSPECIFIED = 0
    AUTO_UPGRADE = 1
    USE_RAMPING_VERSION = 2


@dataclass(frozen=True)
class EventGroup:
    """A name for steps that belong together. Accepted, and without effect."""

    id: str
    label: str | None = None


def create_event_group(id: str, *, label: str | None = None) -> EventGroup:
    """See EventGroup."""
    return EventGroup(id, label)


def random_seed() -> int:
    """What `random()` was seeded with: the same in every replay of this run."""
    return current.run().execution_id.int


def new_random(name: str | None = None) -> random.Random:
    """A source of random numbers of its own, the same in every replay; by name, the same whenever it is asked for."""
    run = current.run()
    if name is None:
        return random.Random(run.random.getrandbits(128))  # noqa: S311 (reproducible is what is wanted)
    digest = hashlib.sha256(f"{run.execution_id}:{name}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311


def register_random_seed_callback(callback: Callable[[int], None]) -> None:
    """Have `callback(seed)` called when the seed changes, which it never does within a run."""
    current.run()


def uuid7() -> uuid.UUID:
    """A UUID that sorts by history's time, the same in every replay."""
    run = current.run()
    milliseconds = int(run.timestamp * 1000)
    bits = run.random.getrandbits(74)
    number = (milliseconds << 80) | (0x7 << 76) | ((bits >> 62) << 64) | (0x2 << 62) | (bits & ((1 << 62) - 1))
    return uuid.UUID(int=number)


def is_failure_exception(err: BaseException) -> bool:
    """Whether this exception, raised by the run method, fails the execution; others park it."""
    types = current.run().definition.failure_exception_types
    return isinstance(err, (FailureError, asyncio.CancelledError, *types))


def get_current_details() -> str:
    """What `set_current_details` was given last."""
    return _details.get(current.run(), "")


def set_current_details(description: str) -> None:
    """Note what the execution is about at the moment; for its own code to read again."""
    _details[current.run()] = description
