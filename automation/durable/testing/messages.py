"""Celery's messages as an in-process broker keeps them: what `canvas` publishes, taken apart into single tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from automation import clock


class Counter:
    """A chord's: how many of its header have not ended yet, and the body that follows."""

    def __init__(self, left: int, body: Any) -> None:
        self.left = left
        self.body = body


@dataclass
class Message:
    """One task message on its way. `at`: not before, in seconds since the epoch; `rest`: what follows it in its chain;
    `app`: the Celery app that knows its task."""

    task: str
    args: list[Any]
    queue: str
    at: float
    time_limit: float | None = None
    rest: list[Any] = field(default_factory=list)
    chord: Counter | None = None
    options: dict[str, Any] = field(default_factory=dict)
    app: Any = None

    def __str__(self) -> str:
        return f"{self.task}{self.args} on {self.queue}"


def messages_of(signature: Any, rest: Sequence[Any] = (), chord: Counter | None = None) -> list[Message]:
    """The messages that publishing this signature (a task's, a chain's or a chord's) sends at once."""
    kind = signature.get("subtask_type")
    if kind == "chain":
        first, *others = signature.tasks
        return messages_of(first, [*others, *rest], chord)
    if kind == "chord":
        counter = Counter(len(signature.tasks), signature.body)
        return [message for member in signature.tasks for message in messages_of(member, (), counter)]
    options = dict(signature.options)
    return [
        Message(
            task=signature.task,
            args=list(signature.args),
            queue=options.get("queue", settings.WORKFLOW_TASK_QUEUE),
            at=round(clock.timestamp() + (options.get("countdown") or 0.0), 6),
            time_limit=options.get("time_limit"),
            rest=list(rest),
            chord=chord,
            options=options,
            app=signature.app,
        )
    ]


def following(message: Message) -> list[Message]:
    """What Celery sends once this message's task has succeeded: the next of its chain, or its chord's body."""
    if message.rest:
        first, *others = message.rest
        return messages_of(first, others, message.chord)
    if message.chord is not None:
        message.chord.left -= 1
        if message.chord.left == 0:
            return messages_of(message.chord.body)
    return []
