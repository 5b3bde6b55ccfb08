"""`manage.py start_all_workers`: one worker a domain, supervised."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandParser

from automation.management.base import OperatorCommand, positive, seconds
from automation.services import queues

if TYPE_CHECKING:
    from project import supervisor
else:  # by name: the app does not import the project
    supervisor = import_module("project.supervisor")

DEFAULT = "default"
"""The worker of the queues that belong to no domain."""


class _Stop(BaseException):
    """Ctrl-C, or a request to end."""


class Command(OperatorCommand):
    help = (
        "Run one worker for each domain's queue and one, 'default', for the queues that belong to no domain. A worker "
        "that ends is started again; Ctrl-C or SIGTERM ends them all, each with the step that it is at."
    )
    examples = (
        "start_all_workers",
        "start_all_workers --domains bookings payments --max-concurrent-activities 4",
        "start_all_workers --print",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--domains", nargs="+", default=[], metavar="D", help="these, and no default worker")
        parser.add_argument("--max-concurrent-activities", type=positive, metavar="N", help="for each worker")
        parser.add_argument("--max-concurrent-workflows", type=positive, metavar="N", help="for each worker")
        parser.add_argument("--grace", type=seconds, default=30.0, metavar="S",
                            help="seconds that running steps have to end in (30)")  # fmt: skip
        parser.add_argument("--print", action="store_true", dest="only_print", help="print each command, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        passed = [
            word
            for name in ("max_concurrent_activities", "max_concurrent_workflows")
            if options[name] is not None
            for word in (f"--{name.replace('_', '-')}", str(options[name]))
        ]
        wanted = [queues.domain(domain) for domain in options["domains"]]
        names = list(dict.fromkeys(wanted)) or [DEFAULT, *queues.domains()]
        commands = {name: _command(name, passed) for name in names}
        if options["only_print"]:
            self.say("\n".join(commands.values()))
            return
        console = supervisor.Console(names, stream=getattr(self.stdout, "_out", sys.stdout))
        crew = supervisor.Supervisor(console, {**os.environ, "PYTHONUNBUFFERED": "1"}, settings.BASE_DIR)
        _supervise(crew, console, commands, options["grace"])


def _command(name: str, passed: Sequence[str]) -> str:
    serves = ["--task-queue", ",".join(queues.WORDS)] if name == DEFAULT else ["--domain", name]
    words = [sys.executable, "manage.py", "start_workflows_worker", *serves, "--name", name, *passed]
    return shlex.join(words)


def _supervise(
    crew: supervisor.Supervisor, console: supervisor.Console, commands: dict[str, str], grace: float
) -> None:
    """Start them, stay until a signal, and end them; at a second signal, by force."""
    stopping = False

    def on_signal(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            crew.kill()
            return
        stopping = True
        raise _Stop

    previous = {signum: signal.signal(signum, on_signal) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for name, command in commands.items():
            crew.start(name, command)
        while True:
            signal.pause()
    except _Stop:
        console.plain("stopping …")
    finally:
        stopping = True
        crew.stop(grace)
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    console.plain("all workers have stopped")
