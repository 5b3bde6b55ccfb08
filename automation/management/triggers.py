"""Commands that start a domain's workflows by a word each: `trigger_payment_workflows refund 12 --amount 10.00`."""

from __future__ import annotations

import argparse
import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser
from django.db.models import Model

from automation.errors import NotFound
from automation.management.base import Formatter, OperatorCommand, seconds
from automation.services import running

Add = Callable[[argparse.ArgumentParser], object]


@dataclass(frozen=True)
class Subject:
    """The row that a workflow is about: it is looked up before anything starts. `parameter` is the workflow's name for
    its id; `kind` what the row is called."""

    parameter: str
    model: type[Model]
    kind: str


@dataclass(frozen=True)
class Choice:
    """A word of the command. `options` adds what the workflow takes besides its subject; an option's `dest` is the
    parameter's name. `id_prefix`: with the subject's id, the workflow's id unless one is given, so that there is one at
    a time."""

    workflow: str
    help: str
    subject: Subject | None = None
    options: Sequence[Add] = ()
    id_prefix: str = ""


class TriggerCommand(OperatorCommand):
    """`domain` and `choices`, by word, are what a subclass says; a word may be written with - or _."""

    domain: ClassVar[str]
    choices: ClassVar[Mapping[str, Choice]]

    def add_arguments(self, parser: CommandParser) -> None:
        words = parser.add_subparsers(dest="word", required=True, metavar="WHAT", title="what to start")
        for word, choice in self.choices.items():
            other = word.replace("-", "_") if "-" in word else word.replace("_", "-")
            lines = [f"  python manage.py {example}" for example in self.examples if example.split()[1] == word]
            one = words.add_parser(
                word,
                aliases=[other] if other != word else [],
                help=choice.help,
                description=f"{choice.help[:1].upper()}{choice.help[1:]} ({choice.workflow}).",
                epilog="\n".join(["examples:", *lines]) if lines else None,
                formatter_class=Formatter,
                allow_abbrev=False,
            )
            one.set_defaults(choice=choice)
            if choice.subject is not None:
                one.add_argument("subject", metavar="ID", help=f"the {choice.subject.kind}'s id")
            for add in choice.options:
                add(one)
            one.add_argument("--task-queue", default="", metavar="Q", help="the queue (by default the domain's)")
            one.add_argument("--id", default="", help="an id of your own")
            one.add_argument("--wait", action="store_true", help="show each step; exit with 1 unless it completes")
            one.add_argument("--timeout", type=seconds, metavar="S", help="seconds to wait at most (for ever)")

    def handle(self, *args: Any, **options: Any) -> None:
        choice: Choice = options["choice"]
        values = {name: options[name] for name in self._parameters(choice) if options.get(name) is not None}
        identifier = options["id"]
        if choice.subject is not None:
            key = _find(choice.subject, options["subject"])
            values[choice.subject.parameter] = key
            identifier = identifier or (f"{choice.id_prefix}{key}" if choice.id_prefix else "")
        self.doubt_queues(options["task_queue"])
        execution = running.start(
            choice.workflow,
            values=values,
            queue=options["task_queue"],
            business_id=identifier,
            domain=self.domain,
        )
        self.say(f"▶ {choice.workflow} {execution}")
        if options["wait"]:
            follow(self, execution, options["timeout"])

    def _parameters(self, choice: Choice) -> list[str]:
        probe = argparse.ArgumentParser(add_help=False)
        for add in choice.options:
            add(probe)
        return [action.dest for action in probe._actions]


def follow(command: OperatorCommand, execution: uuid.UUID, timeout: float | None) -> None:
    """Show each step as it ends, then the result. Raises CommandError unless the execution completes."""
    try:
        for line in running.follow(execution, timeout):
            command.say(line)
    except KeyboardInterrupt:
        raise CommandError(f"not waiting any longer; execution {execution} goes on", returncode=130) from None
    if not running.succeeded(execution):
        raise CommandError(f"execution {execution} did not complete")
    result = running.result_of(execution)
    if result is not None:
        command.say_json(result)


def option(*flags: str, **settings: Any) -> Add:
    """An option of a choice, as argparse takes it."""
    return lambda parser: parser.add_argument(*flags, **settings)


def amount(text: str) -> str:
    """An amount of money above zero, for a command line; as text, which keeps it exact."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal(0)
    if not found.is_finite() or found <= 0:
        raise argparse.ArgumentTypeError(f"expected an amount above zero, such as 10.00, got {text!r}")
    return str(found)


def moment(text: str) -> str:
    """A point in time with its time zone, for a command line."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a date and time such as 2027-03-01T09:30:00+01:00, got {text!r}"
        ) from None
    if found.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} names no instant: add a time zone, such as {text}+00:00 or {text}Z")
    return found.isoformat()


def _find(subject: Subject, text: str) -> Any:
    """The id, in JSON's types, of the row that the text names. Raises NotFound, naming the newest rows that there
    are."""
    field = subject.model._meta.pk
    assert field is not None
    rows = subject.model._default_manager
    try:
        key = field.to_python(text)
        found = rows.filter(pk=key).exists()
    except Exception:  # whatever the field thinks of the text
        found = False
    if found:
        return str(key) if isinstance(key, uuid.UUID) else key
    newest = [str(pk) for pk in rows.order_by("-pk").values_list("pk", flat=True)[:3]]
    there = f"the newest are {', '.join(newest)}" if newest else f"there is no {subject.kind} at all"
    raise NotFound(f"there is no {subject.kind} {text!r}; {there}")
