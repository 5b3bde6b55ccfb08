"""The options of commands that start workers, and how a worker takes a command's place."""

from __future__ import annotations

import os
import shlex
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from automation.management.base import OperatorCommand, positive

if TYPE_CHECKING:
    from project import presets
else:  # by name: the app does not import the project
    presets = import_module("project.presets")


class WorkerCommand(OperatorCommand):
    """Becomes a Celery worker."""

    def add_arguments(self, parser: CommandParser) -> None:
        def add(*names: str, **options: Any) -> None:
            parser.add_argument(*names, **options)

        add("--preset", choices=list(presets.PRESETS), help="numbers and queues (all, unless a domain is named)")
        add(
            *("--domain", "--domains"),
            **{"nargs": "+", "action": "extend", "default": [], "dest": "domains", "metavar": "D"},
            help="serve these domains' queues; plurals are fine",
        )
        add(
            *("--task-queue",),
            **{"default": "", "metavar": "Q"},
            help="serve this queue alone (several with commas): its name, a domain, workflows, critical, background",
        )
        add("--max-concurrent-activities", type=positive, metavar="N", help="activities at once")
        add("--max-concurrent-workflows", type=positive, metavar="N", help="advances of workflows at once")
        add("--max-cached-workflows", type=positive, metavar="N", help="waiting workflows kept in memory")
        add(
            "--pool",
            choices=["prefork", "threads", "solo"],
            help=f"Celery's pool; by default prefork up to {presets.MOST_PROCESSES} at once, threads above that",
        )
        add("--name", default="", help="the node's name, before its @")
        add("--print", action="store_true", dest="only_print", help="print the Celery command, and end")
        add("celery_options", nargs="*", metavar="OPTION", help="options for Celery itself, after '--'")

    def handle(self, *args: Any, **options: Any) -> None:
        self.doubt_queues(options["task_queue"])
        plan = presets.plan(
            options["preset"] or "",
            domains=options["domains"],
            queue=options["task_queue"],
            activities=options["max_concurrent_activities"],
            workflows=options["max_concurrent_workflows"],
            cached=options["max_cached_workflows"],
            pool=options["pool"] or "",
            name=options["name"],
            extra=options["celery_options"],
        )
        if options["only_print"]:
            numbers = [f"{key}={value}" for key, value in plan.environment({}).items()]
            self.say(shlex.join(["env", *numbers, *plan.command()]))
            return
        if plan.pool == "prefork" and plan.slots > presets.MOST_PROCESSES:
            self.stderr.write(
                f"{plan.slots} processes take about {plan.slots * presets.PROCESS_MEGABYTES:,} MB of memory and "
                f"{plan.slots} database connections; --pool threads takes neither"
            )
        replace_process(plan.command(), plan.environment(os.environ))


def replace_process(command: list[str], environment: dict[str, str]) -> None:
    """Go on as another program: it has this process's id, and gets its signals."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(settings.BASE_DIR)
    try:
        os.execve(command[0], command, environment)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be started: {error}") from error
