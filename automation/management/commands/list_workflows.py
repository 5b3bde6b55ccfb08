"""`manage.py list_workflows`: what code defines."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.core.management.base import CommandParser

from automation.durable.registry import ActivityDefinition, WorkflowDefinition
from automation.management.base import OperatorCommand
from automation.services import catalogue
from automation.services.catalogue import Entry


class Command(OperatorCommand):
    help = "List the workflows and activities that are registered, by domain."
    examples = ("list_workflows --domain bookings --detailed", "list_workflows --workflows-only --json")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--domain", default="", metavar="D", help="of one domain; plurals are fine")
        kinds = parser.add_mutually_exclusive_group()
        kinds.add_argument("--workflows-only", action="store_true", help="no activities")
        kinds.add_argument("--activities-only", action="store_true", help="no workflows")
        parser.add_argument("--detailed", action="store_true", help="with parameters, queue and place")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON, with all details")

    def handle(self, *args: Any, **options: Any) -> None:
        left_out = {"activity"} if options["workflows_only"] else {"workflow"} if options["activities_only"] else set()
        found = [entry for entry in catalogue.entries(options["domain"]) if entry.kind not in left_out]
        if options["as_json"]:
            self.say_json([describe(entry) for entry in found])
            return
        if not found:
            self.say("Nothing is registered there.")
        for (domain, kind), entries in groupby(found, key=lambda entry: (entry.domain, entry.kind)):
            self.say(f"{domain}: {'workflows' if kind == 'workflow' else 'activities'}")
            for entry in entries:
                self._say_entry(entry, detailed=options["detailed"])

    def _say_entry(self, entry: Entry, *, detailed: bool) -> None:
        self.say(f"  {entry.name:<32} {entry.summary}".rstrip())
        if not detailed:
            return
        for name, value in describe(entry).items():
            if value and name not in ("kind", "domain", "name", "summary", "parameters"):
                shown = ", ".join(value) if isinstance(value, list) else "yes" if value is True else value
                self.say(f"      {name}: {shown}")
        takes = ", ".join(map(str, entry.parameters))
        self.say(f"      takes: {takes or 'nothing'}")


def describe(entry: Entry) -> dict[str, Any]:
    """A definition in JSON's types."""
    found: dict[str, Any] = {
        "kind": entry.kind,
        "domain": entry.domain,
        "name": entry.name,
        "summary": entry.summary,
        "place": entry.place,
        "queue": entry.queue,
        "parameters": [
            {"name": one.name, "type": one.type, "required": one.required}
            | ({} if one.required else {"default": one.default})
            for one in entry.parameters
        ],
    }
    match entry.definition:
        case WorkflowDefinition() as workflow:
            kinds = {"signals": "signal", "queries": "query", "updates": "update"}
            found |= {many: sorted(name or "*" for name in workflow.handlers.get(kind, {}))
                      for many, kind in kinds.items()}  # fmt: skip
        case ActivityDefinition() as activity:
            found |= {"rate_limit": activity.rate_limit or "", "transactional": activity.transactional}
    return found
