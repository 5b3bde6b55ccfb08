"""`manage.py run_demo`: one booking, and what Weir does about it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from automation.management.base import OperatorCommand, seconds
from automation.models import EventType
from automation.services import demo


class Command(OperatorCommand):
    help = "Make one booking with the demo organizer and print, step by step, what happens until nothing is left to do."
    examples = ("run_demo", "run_demo --timeout 120")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--timeout", type=seconds, default=60.0, metavar="S", help="seconds to wait at most (60)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            booking = demo.book()
        except EventType.DoesNotExist:
            raise CommandError("There is no demo data; make it with: python manage.py seed_demo") from None
        try:
            for line in demo.follow(booking, options["timeout"]):
                self.say(line)
        except TimeoutError as error:
            raise CommandError(str(error)) from error
