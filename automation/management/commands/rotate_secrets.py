"""`manage.py rotate_secrets`: every stored secret under the newest of ENCRYPTION_KEYS."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automation.management.base import OperatorCommand, positive
from automation.services import secret_rotation


class Command(OperatorCommand):
    help = (
        "Encrypt every stored secret anew, under the newest of ENCRYPTION_KEYS. Put the new key in front, restart, run "
        "this, and only then drop the old key. What is under the newest key is left alone: an interrupted run is "
        "repeated. Exits with 1 where no key opens a secret."
    )
    examples = ("rotate_secrets --dry-run", "rotate_secrets", "rotate_secrets --batch 1000 --json")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
        parser.add_argument("--batch", type=positive, default=secret_rotation.BATCH, help="rows read at a time")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        silent = options["as_json"]
        done = secret_rotation.rotate_all(
            dry_run=options["dry_run"],
            batch=options["batch"],
            progress=lambda text: None if silent else self.say(f"✓ {text}"),
        )
        if silent:
            self.say_json(asdict(done))
        else:
            for place in done.broken:
                self.say(f"✗ {place}: no key in ENCRYPTION_KEYS opens it; enter the secret again.")
            verb = "would be encrypted anew" if options["dry_run"] else "encrypted anew"
            self.say(
                f"{done.rotated} {verb}, {done.current} under the newest key already, {len(done.broken)} unreadable."
            )
        if done.broken:
            raise CommandError(f"{len(done.broken)} secrets cannot be read")
