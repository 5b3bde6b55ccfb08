"""The run whose code is running right now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from automation.durable.loop import DurableLoop

if TYPE_CHECKING:
    from automation.durable.replay import Run


def run() -> Run:
    loop = asyncio._get_running_loop()
    if not isinstance(loop, DurableLoop):
        raise RuntimeError("not in a workflow: call this from workflow code")
    return loop.run_of


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Leave the workflow's loop, on which the ORM is refused, to read rows that never change."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


def in_workflow() -> bool:
    """Whether the calling code is workflow code."""
    return isinstance(asyncio._get_running_loop(), DurableLoop)
