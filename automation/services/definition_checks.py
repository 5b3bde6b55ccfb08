"""What is wrong with workflows: with those that code defines, and with those that organizers built."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator

from django.conf import settings
from django.db.models import Count, Q

from automation.durable import registry
from automation.durable.registry import WorkflowDefinition
from automation.models import OPEN_STATUSES, ExecutionStatus, Workflow, WorkflowExecution
from automation.services import catalogue, monitoring, workflows


@dataclasses.dataclass(frozen=True)
class Finding:
    """`subject` names what has the problem; `fixed` says what was done about it."""

    subject: str
    message: str
    fixed: str = ""


def check(*, fix: bool = False) -> list[Finding]:
    """Every problem there is. Opens and closes the alerts about configurations, as the nightly check does.

    fix: switch off the active workflows that have no active action, and can do nothing; everything else is left to
    people.
    """
    fixed = _switch_off_empty() if fix else []
    configured = [Finding(_name(problem), problem.message) for problem in monitoring.validate_all()]
    return [*fixed, *configured, *_of_code(), *_without_code()]


def _switch_off_empty() -> list[Finding]:
    empty = Workflow.objects.filter(is_active=True).annotate(works=Count("actions", filter=Q(actions__is_active=True)))
    found = []
    for workflow in empty.filter(works=0).order_by("pk"):
        workflows.update(workflow, is_active=False)
        found.append(Finding(f"workflow {workflow.pk}", f"{workflow.name!r} has no active action.", "switched off"))
    return found


def _name(problem: monitoring.Problem) -> str:
    return f"workflow {problem.workflow_id}"


def _of_code() -> Iterator[Finding]:
    """Definitions that load, and cannot be started or read as they are meant to be."""
    for entry in catalogue.entries():
        definition = entry.definition
        function: Callable[..., object] = (
            getattr(definition.cls, definition.run)
            if isinstance(definition, WorkflowDefinition)
            else definition.function
        )
        function = inspect.unwrap(function)
        subject = f"{entry.kind} {entry.name} ({entry.place})"
        try:
            typing.get_type_hints(function)
        except (NameError, TypeError, AttributeError) as error:
            message = f"its annotations cannot be read, so its values stay JSON's own types: {error}"
            yield Finding(subject, message)
        required = [
            name
            for name, one in inspect.signature(function).parameters.items()
            if one.kind is one.KEYWORD_ONLY and one.default is one.empty
        ]
        if required:
            yield Finding(subject, f"its parameter {required[0]!r} is keyword-only, and arguments come by position")


def _without_code() -> Iterator[Finding]:
    """Executions that have not ended, of workflows that no code defines any more."""
    known = {definition.name for definition in registry.workflows()}
    waiting = (
        WorkflowExecution.objects.filter(
            namespace=settings.WORKFLOW_NAMESPACE, status__in=(*OPEN_STATUSES, ExecutionStatus.PARKED)
        )
        .order_by("definition")
        .values_list("definition")
        .annotate(Count("id"))
    )
    for name, count in waiting:
        if name not in known:
            yield Finding(
                f"workflow {name}",
                f"{count} executions have not ended, and no code defines it: put the code back, or end them with "
                f"'executions terminate'",
            )
