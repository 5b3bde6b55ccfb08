"""`manage.py executions`: look at executions, and steer them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from automation.durable import control, histories
from automation.errors import WeirError
from automation.management.base import Formatter, OperatorCommand, positive
from automation.models import ExecutionStatus
from automation.services import inspection, running

Steer = Callable[[UUID, str], object]


def _plainly(function: Callable[[UUID], None]) -> Steer:
    return lambda execution, _reason: function(execution)


# What each says of an execution afterwards, what it does, and its help.
STEERING: Mapping[str, tuple[str, Steer, str]] = {
    "cancel": ("asked to end", control.cancel, "ask the workflow to end; its code may clean up"),
    "terminate": ("terminated", control.terminate, "end it at once; its code is not asked"),
    "pause": ("paused", _plainly(control.pause), "start nothing new; what runs finishes"),
    "resume": ("resumed", _plainly(control.resume), "let a paused execution go on"),
    "retry": ("retried", _plainly(control.retry), "run a failed one again from its failed steps; a parked one goes on"),
    "redrive": ("re-driven", _plainly(control.redrive), "bring a dead letter back"),
}
WITH_REASON = ("cancel", "terminate")


class Command(OperatorCommand):
    help = "Look at executions of workflows, and steer them. An ID is an execution's, or the one you started it with."
    examples = (
        "executions list --status failed dead_letter --since 24h",
        "executions history order-4711 --json",
        'executions cancel order-4711 --reason "the customer asked"',
    )

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

        def command(name: str, text: str, example: str) -> CommandParser:
            options: dict[str, Any] = {
                "epilog": f"example:\n  python manage.py executions {example}",
                "formatter_class": Formatter,
            }
            found: CommandParser = commands.add_parser(name, help=text, description=text, **options)
            found.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
            return found

        listing = command("list", "list executions, newest first", "list --workflow TestWorkflow --limit 5")
        listing.add_argument("--status", nargs="+", action="extend", default=[], metavar="S",
                             help=f"of: {', '.join(ExecutionStatus.values)}")  # fmt: skip
        listing.add_argument("--workflow", default="", metavar="NAME", help="a registered or an organizer's workflow")
        listing.add_argument("--domain", default="", metavar="D", help="of a domain; plurals are fine")
        listing.add_argument("--queue", default="", metavar="Q", help="carried on this queue")
        listing.add_argument("--since", default="", metavar="WHEN", help="made since: 90m, 2h, 7d, 2027-03-01")
        listing.add_argument("--paused", action="store_true", help="paused ones only")
        listing.add_argument("--limit", type=positive, default=20, metavar="N", help="so many at most (20)")
        for name, text in (("show", "show one execution"), ("history", "show its steps, in order")):
            looking = command(name, text, f"{name} 01a1fc26-c8dd-7ca8-a0c2-9e6e06d162a3")
            looking.add_argument("id", metavar="ID")
            if name == "history":
                looking.add_argument("--record", action="store_true", help="print what a Replayer takes")
        for name, (_, _, text) in STEERING.items():
            steering = command(name, text, f"{name} order-4711")
            steering.add_argument("ids", nargs="+", metavar="ID")
            if name in WITH_REASON:
                steering.add_argument("--reason", default="", help="why: it is kept with the execution")

    def handle(self, *args: Any, **options: Any) -> None:
        handlers = {"list": self._list, "show": self._show, "history": self._history}
        handlers.get(options["what"], partial(self._steer, options["what"]))(options)

    def _list(self, options: Mapping[str, Any]) -> None:
        filters = {name: options[name] for name in ("status", "workflow", "domain", "queue", "since", "paused")}
        found = [inspection.summary(row) for row in inspection.executions(**filters)[: options["limit"]]]
        if options["as_json"]:
            self.say_json(found)
        elif not found:
            self.say("No executions.")
        else:
            rows = [
                (
                    row["business_id"] or row["id"],
                    row["name"] or row["workflow"],
                    "paused" if row["paused"] else row["status"],
                    row["queue"],
                    row["created_at"][:19],
                    row["error"][:60],
                )
                for row in found
            ]
            self.say_table(("id", "workflow", "status", "queue", "created", "error"), rows)

    def _show(self, options: Mapping[str, Any]) -> None:
        found = inspection.details(running.find(options["id"]))
        if options["as_json"]:
            self.say_json(found)
            return
        for name, value in found.items():
            if value not in (None, "", {}, 0, False):
                shown = ", ".join(f"{count} {status}" for status, count in value.items()) if name == "steps" else value
                self.say(f"{name:<14} {shown}")

    def _history(self, options: Mapping[str, Any]) -> None:
        row = running.find(options["id"])
        if options["record"]:
            self.say(histories.export(row).to_json())
            return
        found = inspection.history(row)
        if options["as_json"]:
            self.say_json(found)
            return
        rows = [
            (
                step["seq"],
                step["order"],
                step["kind"],
                " ".join(filter(None, (step["name"], step["summary"]))),
                step["status"],
                step["attempts"] or "",
                (step["completed_at"] or step["run_at"] or "")[:19],
                (step["failure"] or ("" if step["output"] is None else str(step["output"])))[:60],
            )
            for step in found
        ]
        self.say_table(("seq", "order", "kind", "name", "status", "attempts", "ended or due", "outcome"), rows)

    def _steer(self, name: str, options: Mapping[str, Any]) -> None:
        """One by one: an execution whose state does not allow it is named, and does not hold up the others."""
        done, steer, _ = STEERING[name]
        outcomes = []
        for text in options["ids"]:
            try:
                execution = running.find(text).id
                steer(execution, options.get("reason") or "")
            except WeirError as error:
                outcomes.append({"id": text, "done": False, "message": error.message})
            else:
                outcomes.append({"id": text, "done": True, "message": done})
        if options["as_json"]:
            self.say_json(outcomes)
        for outcome in outcomes:
            if outcome["done"] and not options["as_json"]:
                self.say(f"{outcome['id']} {outcome['message']}")
        refused = [str(outcome["message"]) for outcome in outcomes if not outcome["done"]]
        if refused:
            raise CommandError("\n".join(refused))
