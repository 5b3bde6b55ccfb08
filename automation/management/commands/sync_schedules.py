"""Bring the periodic tasks of `beat_schedules` into django-celery-beat's rows."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.core.management.base import CommandParser

from automation.management.base import OperatorCommand
from automation.services import schedules


class Command(OperatorCommand):
    help = (
        "Create missing periodic tasks, update those that no operator edited, and delete those that the code no longer "
        "asks for. A task that is switched off in the admin stays off."
    )
    examples = ("sync_schedules --dry-run", "sync_schedules")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what would change, and change nothing.")

    def handle(self, *args: Any, dry_run: bool = False, verbosity: int = 1, **options: Any) -> None:
        # By name: beat_schedules imports automation, never the reverse.
        wanted = import_module("beat_schedules").schedules()
        changes = schedules.sync(wanted, dry_run=dry_run)
        if verbosity < 1:
            return
        for change in changes:
            if change.action != "unchanged" or change.kept or verbosity > 1:
                self.say(("would have " if dry_run and change.action != "unchanged" else "") + str(change))
        for owner in sorted({change.owner for change in changes if change.owner}):
            count = sum(change.owner == owner for change in changes)
            self.say(f"{count} are those of the namespace {owner!r}, and follow its settings: left alone.")
        changed = sum(change.action != "unchanged" for change in changes)
        self.say(f"{changed} of {len(changes)} periodic tasks {'would change' if dry_run else 'changed'}.")
