"""`manage.py executions`: look at executions, and steer them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from automation.durable import histories
from automation.errors import WeirError
from automation.management.base import Formatter, OperatorCommand, nearest, positive
from automation.models import ExecutionStatus, Workflow
from automation.services import catalogue, inspection, running
from automation.services import steering as service

Steer = Callable[[UUID, str], object]


def _plainly(function: Callable[[UUID], object]) -> Steer:
    return lambda execution, _reason: function(execution)


# What each says of an execution afterwards, what it does, and its help.
STEERING: Mapping[str, tuple[str, Steer, str]] = {
    "cancel": ("asked to end", service.cancel, "ask the workflow to end; its code may clean up"),
    "terminate": ("terminated", service.terminate, "end it at once; its code is not asked"),
    "pause": ("paused", _plainly(service.pause), "start nothing new; what runs finishes"),
    "resume": ("resumed", _plainly(service.resume), "let a paused execution go on"),
    "retry": ("retried", _plainly(service.retry), "run a failed one again from its failed steps; a parked one goes on"),
    "redrive": ("re-driven", _plainly(service.redrive), "bring a dead letter back"),
}
WITH_REASON = ("cancel", "terminate")

# Its name, its help, and an example.
SENDING = (
    ("signal", "send it a signal", "approve true"),
    ("query", "ask its code about its state; nothing is changed", "status"),
    ("update", "send it an update, and wait for what it comes to", "set-priority 3"),
)


class Command(OperatorCommand):
    help = "Look at executions of workflows, and steer them. An ID is an execution's, or the one you started it with."
    examples = (
        "executions list --status failed dead_letter --since 24h",
        "executions history order-4711 --json",
        'executions cancel order-4711 --reason "the customer asked"',
        "executions signal order-4711 approve true",
        "executions query order-4711 status",
        "executions restart order-4711 --from-step 3",
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

        for name, text, example in SENDING:
            sending = command(name, text, f"{name} order-4711 {example}")
            sending.add_argument("id", metavar="ID")
            sending.add_argument("name", metavar="NAME", help=f"of the {name}")
            sending.add_argument("values", nargs="*", metavar="ARG", help="in order; JSON, or else plain text")
            if name == "update":
                sending.add_argument(
                    "--update-id", default="", metavar="U", help="makes it one, however often it is sent"
                )
                sending.add_argument("--wait", type=float, default=service.UPDATE_WAIT, metavar="S",
                                     help=f"wait so many seconds ({service.UPDATE_WAIT:g})")  # fmt: skip
        restart = command("restart", "start anew, with a copy of its first steps", "restart order-4711 --from-step 3")
        restart.add_argument("id", metavar="ID")
        restart.add_argument("--from-step", type=positive, metavar="N", help="copy the steps before this one (none)")
        restart.add_argument("--input", metavar="JSON", help="other arguments: a list in order, or an object by name")

    def handle(self, *args: Any, **options: Any) -> None:
        handlers = {
            **{"list": self._list, "show": self._show, "history": self._history},
            **{"signal": self._signal, "query": self._query, "update": self._update, "restart": self._restart},
        }
        handlers.get(options["what"], partial(self._steer, options["what"]))(options)

    def _list(self, options: Mapping[str, Any]) -> None:
        filters = {name: options[name] for name in ("status", "workflow", "domain", "queue", "since", "paused")}
        found = [inspection.summary(row) for row in inspection.executions(**filters)[: options["limit"]]]
        if options["as_json"]:
            self.say_json(found)
        elif not found:
            self.say(f"No executions.{_doubt(options['workflow'])}")
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

    def _signal(self, options: Mapping[str, Any]) -> None:
        execution = running.find(options["id"])
        service.signal(execution.id, options["name"], _values(options))
        declared = service.declared_signals(execution.definition)
        if declared is not None and options["name"] not in declared:
            its = f"its signals are {', '.join(declared)}" if declared else "it declares no signals"
            self.stderr.write(f"{execution.definition} takes it once its code sets a handler for it: {its}")
        if options["as_json"]:
            self.say_json({"id": options["id"], "signal": options["name"], "sent": True})
        else:
            self.say(f"{options['id']} has the signal {options['name']}")

    def _query(self, options: Mapping[str, Any]) -> None:
        self.say_json(service.query(running.find(options["id"]).id, options["name"], _values(options)))

    def _update(self, options: Mapping[str, Any]) -> None:
        execution, update_id, wait = running.find(options["id"]).id, options["update_id"], options["wait"]
        found = service.update(execution, options["name"], _values(options), update_id=update_id, wait=wait)
        if options["as_json"]:
            self.say_json({"id": found.id, "stage": found.stage, "result": found.result})
        elif found.stage == "completed":
            self.say_json(found.result)
        else:
            raise CommandError(f"the update is {found.stage}, not completed; to wait on: --update-id {found.id}")

    def _restart(self, options: Mapping[str, Any]) -> None:
        value = _input(options["input"])
        new = service.restart(
            running.find(options["id"]).id,
            from_step=options["from_step"],
            args=value if isinstance(value, list) else None,
            values=value if isinstance(value, dict) else None,
        )
        if options["as_json"]:
            self.say_json({"id": str(new), "restart_of": options["id"]})
        else:
            self.say(f"started {new}")

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


def _doubt(workflow: str) -> str:
    """Where nothing is called so, what nearly is."""
    known = {entry.name for entry in catalogue.entries()} | set(
        Workflow.objects.values_list("name", flat=True)[:10_000]
    )
    if not workflow or workflow in known:
        return ""
    return f" There is no workflow named {workflow!r}; {nearest(workflow, known) or 'see list_workflows'}"


def _values(options: Mapping[str, Any]) -> list[Any]:
    """Arguments as typed: JSON where it is some, else the text itself."""
    values = []
    for text in options["values"]:
        try:
            values.append(json.loads(text))
        except ValueError:
            values.append(text)
    return values


def _input(text: str | None) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--input is no JSON: {error}") from None
    if not isinstance(value, list | dict):
        raise CommandError("--input is a JSON list of the arguments in order, or an object of them by name")
    return value
