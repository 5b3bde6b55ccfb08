"""`manage.py startdomain`: a new domain, with a workflow, an activity and a test that passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from automation.management import scaffold
from automation.management.base import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Make the package of a new domain. It is a Django app that is installed by being there, and its workflow, its "
        "activity and its test work at once."
    )
    examples = ("startdomain warehouse",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="a Python name in lower case")

    def handle(self, *args: Any, **options: Any) -> None:
        root = Path(settings.BASE_DIR)
        name = options["name"]
        for path in scaffold.make(name, root):
            self.say(f"wrote {path.relative_to(root)}")
        queue = f"{settings.TASK_QUEUE_PREFIX}-{name}"
        self.say(
            f"Its queue is {queue}: add it to a worker's --queues in the Procfile, or run: start_worker --domain {name}"
        )
        self.say(f"Next: python manage.py test {name}")
