"""Options that a command does not know by itself: `--any-parameter value`, as a workflow's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError

from automation.management.base import OperatorCommand, Parser


class _OpenParser(Parser):
    """Puts what it does not know into `parameters`."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = self.parse_known_args(args, namespace)
        try:
            found.parameters = read(rest)
        except CommandError as error:
            self.error(str(error))
        return found


class OpenCommand(OperatorCommand):
    """Takes any option; those that are not its own are in `options["parameters"]`."""

    parser_class = _OpenParser

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.set_defaults(parameters={})  # for call_command, which asks what options there are
        return parser


def read(words: Sequence[str]) -> dict[str, str | list[str]]:
    """`--a-name value`, `--a-name=value` and `--a-flag` as {"a_name": …}; what comes more than once is a list. Raises
    CommandError for a word that belongs to no option."""
    found: dict[str, str | list[str]] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--") or word == "--":
            raise CommandError(f"unexpected {word!r}: parameters are given as --name value, after the workflow's name")
        name, equals, value = word[2:].partition("=")
        if not equals:
            value = waiting.pop(0) if waiting and not waiting[0].startswith("--") else "true"
        key = name.replace("-", "_")
        before = found.get(key)
        found[key] = value if before is None else [*([before] if isinstance(before, str) else before), value]
    return found
