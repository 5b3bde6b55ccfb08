"""`manage.py seed_demo`: the demo organizer with event types and workflows."""

from __future__ import annotations

from typing import Any

from automation.management.base import OperatorCommand
from automation.services import demo


class Command(OperatorCommand):
    help = (
        f"Make the demo organizer ({demo.EMAIL}), with event types and a workflow for each trigger, unless it exists."
    )
    examples = ("seed_demo",)

    def handle(self, *args: Any, **options: Any) -> None:
        organizer = demo.make_data()
        workflows = organizer.workflows.count()
        self.say(f"{organizer.email} has {organizer.event_types.count()} event types, {workflows} workflows")
