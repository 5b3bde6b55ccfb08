"""What the operator's commands have in common: examples in `--help`, errors that name what would be right."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter

from automation.durable import payloads
from automation.errors import WeirError


class Formatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's, which leaves the examples' lines as they are."""


class OperatorCommand(BaseCommand):
    """`examples` are command lines without `python manage.py`, shown at the end of `--help`."""

    examples: ClassVar[Sequence[str]] = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        lines = [f"  python manage.py {example}" for example in self.examples]
        kwargs.setdefault("epilog", "\n".join(["examples:", *lines]))
        kwargs.setdefault("formatter_class", Formatter)
        kwargs.setdefault("allow_abbrev", False)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except WeirError as error:
            raise CommandError("\n".join([error.message, *_details(error)])) from error
        except (ImproperlyConfigured, payloads.PayloadError) as error:
            raise CommandError(str(error)) from error

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
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 10**9:
        raise argparse.ArgumentTypeError(f"expected seconds from 0, got {text!r}")
    return number


def _details(error: WeirError) -> list[str]:
    fields: Mapping[str, Sequence[str]] = error.fields
    return [f"  {name}: {problem}" for name, problems in fields.items() for problem in problems]


def _is_number(text: str) -> bool:
    return text in ("", "–") or text.replace(".", "", 1).rstrip("% s").isdigit()
