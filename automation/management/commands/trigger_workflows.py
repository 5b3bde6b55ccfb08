"""`manage.py trigger_workflows`: start a domain's workflow with arguments in their order."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from automation.management.base import OperatorCommand
from automation.services import running


class Command(OperatorCommand):
    help = "Start a workflow of a domain, its arguments in the order of its run method's parameters."
    examples = ("trigger_workflows --domain system --workflow TestWorkflow --args hello 0.5 3",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--domain", required=True, metavar="D", help="the workflow's domain; plurals are fine")
        parser.add_argument("--workflow", required=True, metavar="NAME", help="the workflow's registered name")
        parser.add_argument("--args", nargs="*", default=[], metavar="A", dest="arguments", help="its arguments")
        parser.add_argument("--task-queue", default="", metavar="Q", help="the queue (by default the domain's)")
        parser.add_argument("--id", default="", help="an id of your own")

    def handle(self, *args: Any, **options: Any) -> None:
        self.doubt_queues(options["task_queue"])
        execution = running.start(
            options["workflow"],
            positional=options["arguments"],
            queue=options["task_queue"],
            business_id=options["id"],
            domain=options["domain"],
        )
        self.say(f"▶ {options['workflow']} {execution}")
