"""`manage.py seed_demo`: the demo organizer with event types and workflows."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from automation.errors import WeirError
from automation.services import demo


class Command(BaseCommand):
    help = (
        f"Make the demo organizer ({demo.EMAIL}), with event types and a workflow for each trigger, unless it exists."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            organizer = demo.make_data()
        except WeirError as error:
            raise CommandError(error.message) from error
        workflows = organizer.workflows.count()
        self.stdout.write(f"{organizer.email} has {organizer.event_types.count()} event types, {workflows} workflows")
