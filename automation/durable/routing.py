"""The queue that an execution is carried on when its starter names none."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from automation.durable.registry import WorkflowDefinition

Resolver = Callable[[WorkflowDefinition], str]

_resolver: Resolver | None = None


def on_resolve(resolver: Resolver | None) -> None:
    """Have `resolver(definition)` name the queue of a workflow, such as its domain's."""
    global _resolver
    _resolver = resolver


def queue_of(definition: WorkflowDefinition) -> str:
    """The queue of a workflow of which nobody said one."""
    return _resolver(definition) if _resolver is not None else str(settings.WORKFLOW_TASK_QUEUE)
