"""Bring the workflow templates of `automation/gallery/` into the database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from automation.management.base import OperatorCommand
from automation.services import gallery


class Command(OperatorCommand):
    help = "Create, update and remove the rows of the workflow templates that come with Weir. Organizers' own stay."
    examples = ("sync_templates", "sync_templates --dry-run")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what would change, and change nothing.")

    def handle(self, *args: Any, dry_run: bool = False, verbosity: int = 1, **options: Any) -> None:
        done = gallery.sync(dry_run=dry_run)
        changed = [one for one in done if one.action != "unchanged"]
        if verbosity < 1:
            return
        for one in changed:
            self.say(f"{one.key}: {'would be ' if dry_run else ''}{one.action}")
        self.say(f"{len(changed)} of {len(done)} templates {'would change' if dry_run else 'changed'}.")
