"""The workflows and activities that code defines, by domain."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps

from automation.durable import registry
from automation.durable.registry import ActivityDefinition, WorkflowDefinition
from automation.services import parameters, queues

SYSTEM = "system"


@dataclass(frozen=True)
class Entry:
    """A definition, and the domain it belongs to."""

    kind: str  # "workflow" or "activity"
    domain: str
    definition: WorkflowDefinition | ActivityDefinition

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def place(self) -> str:
        return self.definition.place

    @property
    def parameters(self) -> list[parameters.Parameter]:
        if isinstance(self.definition, WorkflowDefinition):
            return parameters.of_workflow(self.definition)
        return parameters.of_function(self.definition.function)

    @property
    def summary(self) -> str:
        """The first paragraph of its docstring, as one line."""
        definition = self.definition
        subject: Any = (
            definition.cls if isinstance(definition, WorkflowDefinition) else inspect.unwrap(definition.function)
        )
        text = inspect.cleandoc(subject.__doc__ or "").split("\n\n")[0]
        return " ".join(text.split())

    @property
    def queue(self) -> str:
        """Where it runs unless somebody says otherwise; for an activity, empty where that is its workflow's queue."""
        if isinstance(self.definition, ActivityDefinition):
            return self.definition.queue or ""
        return queues.of_domain(self.domain)


def domain_of(place: str) -> str:
    """The domain of what is defined at `place`, a dotted path: by its package under automation.domains, else the label
    of the Django app that it is in."""
    if place.startswith(queues.DOMAINS_PACKAGE):
        return place.removeprefix(queues.DOMAINS_PACKAGE).split(".")[0]
    if place.startswith("automation.system."):
        return SYSTEM
    around = [config for config in apps.get_app_configs() if f"{place}.".startswith(f"{config.name}.")]
    return max(around, key=lambda config: len(config.name)).label if around else place.split(".", maxsplit=1)[0]


def queue_of(definition: WorkflowDefinition) -> str:
    """Where a workflow runs unless somebody says otherwise: on its domain's queue."""
    return queues.of_domain(domain_of(definition.place))


def entries(domain: str = "") -> list[Entry]:
    """Every definition, by domain, kind (workflows first) and name; of one domain, where it is named (plurals are
    fine). Raises InvalidInput for a domain that there is not."""
    found = sorted(_all(), key=lambda entry: (entry.domain, entry.kind != "workflow", entry.name))
    if not domain:
        return found
    wanted = queues.domain(domain, {entry.domain for entry in found})
    return [entry for entry in found if entry.domain == wanted]


def workflow(name: str) -> Entry:
    """The workflow of that name. Raises registry.UnknownName, which suggests the nearest."""
    definition = registry.workflow(name)
    return Entry("workflow", domain_of(definition.place), definition)


def workflow_definition(entry: Entry) -> WorkflowDefinition:
    """The definition of an entry that is a workflow."""
    assert isinstance(entry.definition, WorkflowDefinition)
    return entry.definition


def _all() -> Iterator[Entry]:
    for definition in registry.workflows():
        yield Entry("workflow", domain_of(definition.place), definition)
    for activity in registry.activities():
        yield Entry("activity", domain_of(activity.place), activity)
