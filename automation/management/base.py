"""What the operator's commands have in common: examples in `--help`, errors that name what would be right."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import DatabaseError

from automation.durable import payloads
from automation.errors import WeirError
from automation.services import queues


class Formatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's, which leaves the examples' lines as they are."""


class Parser(CommandParser):
    """Answers a mistyped word or option with the nearest, and what is wrong with an example instead of the usage, which
    is mostly of Django's own options."""

    def error(self, message: str) -> NoReturn:
        message += self._words(message)
        if self.called_from_command_line:
            examples = (self.epilog or "").partition("\n")[2].splitlines()
            lines = [f"{self.prog}: error: {message}", *(f"for example:{line[1:]}" for line in examples[:1])]
            self.exit(2, "\n".join([*lines, f"all it takes: python {self.prog} --help", ""]))
        raise CommandError(f"Error: {message}")

    def _words(self, message: str) -> str:
        """What a word that is missing can be."""
        if "required:" not in message:
            return ""
        words = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return "".join(f"; one of {', '.join(action.choices)}" for action in words)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            hints = [hint for word in rest if word.startswith("--") and (hint := nearest(_bare(word), _options(self)))]
            self.error("; ".join([f"unrecognized arguments: {' '.join(rest)}", *hints]))
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            if hint := nearest(str(value), map(str, action.choices or ())):
                raise argparse.ArgumentError(action, f"{error.message}; {hint}") from None
            raise


def nearest(word: str, known: Iterable[str]) -> str:
    """'did you mean …?', or nothing where nothing is near."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {found[0]!r}?" if found else ""


def _bare(option: str) -> str:
    return option.partition("=")[0]


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """The options of a parser and of those below it."""
    found: list[str] = []
    for action in parser._actions:
        found += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            found += [option for below in action.choices.values() for option in _options(below)]
    return found


class OperatorCommand(BaseCommand):
    """`examples` are command lines without `python manage.py`, shown at the end of `--help`."""

    examples: ClassVar[Sequence[str]] = ()
    parser_class: ClassVar[type[Parser]] = Parser

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        lines = [f"  python manage.py {example}" for example in self.examples]
        kwargs.setdefault("epilog", "\n".join(["examples:", *lines]))
        kwargs.setdefault("formatter_class", Formatter)
        kwargs.setdefault("allow_abbrev", False)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_base_argument(self, parser: CommandParser, *args: Any, **kwargs: Any) -> None:
        # Django lets nobody choose the class. It comes here before the command's own arguments are added, whose
        # subparsers are of the parser's class.
        parser.__class__ = self.parser_class
        super().add_base_argument(parser, *args, **kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except WeirError as error:
            raise CommandError("\n".join([error.message, *_details(error)])) from error
        except (ImproperlyConfigured, payloads.PayloadError) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(_of_database(error)) from error

    def doubt_queues(self, text: str) -> None:
        """Ask, on standard error, about queues that are nearly one of ours: names of one's own are fine."""
        for one in filter(None, (part.strip() for part in text.split(","))):
            if near := queues.misspelt(one):
                self.stderr.write(f"{one!r} is a queue of its own; did you mean {near!r}?")

    def say(self, text: str = "") -> None:
        self.stdout.write(text)

    def say_json(self, value: Any) -> None:
        """As JSON, which reads the same to `jq` and to people."""
        self.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False))

    def say_table(self, titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Columns as wide as what is in them; numbers to the right."""
        lines = [[("" if cell is None else str(cell)) for cell in row] for row in rows]
        right = [bool(lines) and all(_is_number(line[i]) for line in lines) for i in range(len(titles))]
        widths = [max(len(line[i]) for line in [list(titles), *lines]) for i in range(len(titles))]
        for line in [list(titles), *lines]:
            cells = [
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right, strict=True)
            ]
            self.stdout.write("  ".join(cells).rstrip())


def add_word(words: Any, name: str, text: str, examples: Sequence[str]) -> CommandParser:
    """A word of a command, with a parser of its own: `words` is what `add_subparsers` returned, `text` its help, and
    `examples` command lines, of which those of this word are shown."""
    lines = [f"  python manage.py {example}" for example in examples if example.split()[1] == name]
    found: CommandParser = words.add_parser(
        name,
        help=text,
        description=text[:1].upper() + text[1:],
        epilog="\n".join(["examples:", *lines]),
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    return found


def positive(text: str) -> int:
    """A whole number from 1, for a command line."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return number


def seconds(text: str) -> float:
    """A length of time in seconds, for a command line."""
    return _length(text, "seconds")


def hours(text: str) -> float:
    """The same in hours."""
    return _length(text, "hours")


def _length(text: str, unit: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 10**9:
        raise argparse.ArgumentTypeError(f"expected {unit} from 0, got {text!r}")
    return number


def _of_database(error: DatabaseError) -> str:
    """What the database says, with what to do about tables that are not there and a server that does not answer."""
    text = " ".join(str(error).split())
    if "no such table" in text or "no such column" in text or "does not exist" in text:
        return f"the database lacks what this needs ({text}); bring it up to date with: python manage.py migrate"
    return f"the database that DATABASE_URL names cannot be used: {text}"


def _details(error: WeirError) -> list[str]:
    fields: Mapping[str, Sequence[str]] = error.fields
    return [
        f"  {name}: {problem}" for name, problems in fields.items() for problem in problems if problem != error.message
    ]


def _is_number(text: str) -> bool:
    return text in ("", "–") or text.replace(".", "", 1).rstrip("% s").isdigit()
