"""`manage.py test`: pytest, for everything or for one domain. It takes the place of Django's own runner."""

from __future__ import annotations

import difflib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from automation.management.base import OperatorCommand
from automation.services import queues


class Command(OperatorCommand):
    help = (
        "Run the tests with pytest: all of them, those of the domains or packages that are named, or those at a path. "
        "What follows '--' goes to pytest."
    )
    examples = ("test", "test bookings", "test durable/test_loop.py -- -x -k replay")
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("targets", nargs="*", metavar="TARGET", help="a domain, a package of tests/, or a path")

    def handle(self, *args: Any, **options: Any) -> None:
        if importlib.util.find_spec("pytest") is None:
            raise CommandError("the tests need what requirements-dev.txt lists: run `make install` first")
        words = options["targets"]
        root = Path(settings.BASE_DIR)
        # argparse takes the first '--' away: what looks like an option begins what is pytest's.
        split = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
        places = [place for word in words[:split] for place in find(word, root)]
        # The tests have settings of their own; a process that is told others would use those.
        environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        command = [sys.executable, "-m", "pytest", *places, *words[split:]]
        status = subprocess.run(command, cwd=root, env=environment, check=False).returncode  # noqa: S603
        if status:
            sys.exit(status)


def find(target: str, root: Path) -> list[str]:
    """The tests of a domain (plurals are fine) or package, or at a path below the root or tests/. Raises CommandError
    suggesting the nearest."""
    tests = root / "tests"
    words = {target, *(domain for domain in queues.domains() if target in (domain, f"{domain}s"))}
    for word in sorted(words, key=lambda word: word == target):
        for place in (tests / "domains" / word, tests / "domains" / f"test_{word}.py", tests / word, root / word):
            if place.exists() and place != root:
                return [str(place.relative_to(root))]
    known = sorted(
        {path.stem.removeprefix("test_") for path in (tests / "domains").glob("*") if not path.stem.startswith("__")}
        | {path.name for path in tests.iterdir() if path.is_dir() and not path.name.startswith("_")}
    )
    near = difflib.get_close_matches(target, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
    raise CommandError(f"there are no tests for {target!r}; {hint}")
