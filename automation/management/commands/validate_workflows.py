"""`manage.py validate_workflows`: what is wrong with workflows, and what can be mended by itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automation.management.base import OperatorCommand
from automation.services import definition_checks


class Command(OperatorCommand):
    help = (
        "Check what organizers built (each problem opens an alert, which ends with it), what code defines, and "
        "whether every execution still has its code. Exits with 1 while a problem is left."
    )
    examples = ("validate_workflows", "validate_workflows --fix")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fix", action="store_true", help="switch off active workflows that have no active action")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = definition_checks.check(fix=options["fix"])
        left = [finding for finding in findings if not finding.fixed]
        if options["as_json"]:
            self.say_json([asdict(finding) for finding in findings])
        else:
            for finding in findings:
                mark = f"✓ {finding.fixed}: " if finding.fixed else "✗ "
                self.say(f"{mark}{finding.subject}: {finding.message}")
            self.say(f"{len(left)} problem{'s'[: len(left) != 1]}." if left else "All workflows are in order.")
        if left:
            raise CommandError(f"{len(left)} left to mend")
