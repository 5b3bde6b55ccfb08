"""`manage.py trigger_workflow`: start a workflow by name."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automation.management.base import seconds
from automation.management.parameters import OpenCommand
from automation.management.triggers import follow
from automation.services import running


class Command(OpenCommand):
    help = (
        "Start a workflow. Its parameters follow its name, as --any-parameter value, or come as one JSON object; they "
        "are checked against the workflow's run method. A parameter that has the name of an option below goes into "
        "the JSON."
    )
    examples = (
        "trigger_workflow TestWorkflow --message hello --seconds 2 --wait",
        """trigger_workflow TestWorkflow --json-input '{"message": "hello", "members": 5}' --id smoke-1""",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the workflow's registered name (see list_workflows)")
        parser.add_argument("--json-input", metavar="JSON", help="parameters as a JSON object")
        parser.add_argument("--task-queue", default="", metavar="Q", help="the queue (by default its domain's)")
        parser.add_argument("--id", default="", help="an id of your own; one execution that has not ended can have it")
        parser.add_argument("--wait", action="store_true", help="show each step as it ends; exit with 1 unless it "
                            "completes")  # fmt: skip
        parser.add_argument("--timeout", type=seconds, metavar="S", help="seconds to wait at most (for ever)")

    def handle(self, *args: Any, **options: Any) -> None:
        self.doubt_queues(options["task_queue"])
        execution = running.start(
            options["name"],
            texts=options["parameters"],
            values=_read_json(options["json_input"]),
            queue=options["task_queue"],
            business_id=options["id"],
        )
        self.say(f"▶ {options['name']} {execution}")
        if options["wait"]:
            follow(self, execution, options["timeout"])


def _read_json(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--json-input is not JSON: {error}; expected an object of parameters by name") from None
    if not isinstance(found, dict):
        raise CommandError(f"--json-input is {type(found).__name__}; expected an object of parameters by name")
    return found
