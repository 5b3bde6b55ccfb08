"""The files of a new domain."""

from __future__ import annotations

import keyword
from pathlib import Path

from automation.errors import Conflict, InvalidInput
from automation.services import queues

RESERVED = ("system", "automation", "domains", *queues.WORDS)

FILES = {
    "automation/domains/{name}/__init__.py": '"""{title}."""\n',
    "automation/domains/{name}/apps.py": '''"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class {cls}Config(AppConfig):
    name = "automation.domains.{name}"
    label = "{name}"
    verbose_name = "{title}"
''',
    "automation/domains/{name}/activities.py": '''"""What the workflows of {name} do."""

from __future__ import annotations

from automation.durable import activity


@activity.defn(name="{name}_greet")
def greet(person: str) -> dict[str, str]:
    """Replace it. It runs at least once: give `activity.info().idempotency_key` to whatever it calls."""
    return {{"greeting": f"Hello, {{person}}"}}


ACTIVITIES = [greet]
''',
    "automation/domains/{name}/workflows.py": '''"""The workflows of {name}."""

from __future__ import annotations

from datetime import timedelta

from automation.domains.{name}.activities import greet
from automation.durable import workflow
from automation.durable.common import RetryPolicy


@workflow.defn
class {cls}Workflow:
    """Replace it. Its code is replayed: time, chance and I/O belong into activities, or come from `workflow`."""

    @workflow.run
    async def run(self, person: str, days: int = 1) -> dict[str, str]:
        await workflow.sleep(timedelta(days=days))
        greeting: dict[str, str] = await workflow.execute_activity(
            greet,
            person,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=10),
        )
        return greeting


WORKFLOWS = [{cls}Workflow]
''',
    "tests/domains/__init__.py": "",
    "tests/domains/test_{name}.py": '''"""The workflows of {name}, with time that does not have to pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.carrier import Carrier, carrying, result


@pytest.fixture
def carrier(transactional_db: None) -> Iterator[Carrier]:
    """A broker and its workers, in this process."""
    with carrying() as one:
        yield one


def test_it_greets_after_its_days(carrier: Carrier) -> None:
    execution = carrier.start("{cls}Workflow", "Ada", 3)
    carrier.finish(execution)
    assert result(execution) == {{"greeting": "Hello, Ada"}}
''',
}


def make(name: str, root: Path) -> list[Path]:
    """Write a domain's files under the project's root; returns them. Nothing that exists is touched.

    Raises InvalidInput for a name that cannot be one, and Conflict where the domain exists.
    """
    if not name.isidentifier() or not name.isascii() or name != name.lower() or keyword.iskeyword(name):
        raise InvalidInput(f"{name!r} cannot name a domain: expected a Python name in lower case, such as 'warehouse'")
    if name in RESERVED:
        raise InvalidInput(f"{name!r} is taken: choose another name than {', '.join(RESERVED)}")
    for singular in queues.domains():
        if name == f"{singular}s":
            raise InvalidInput(f"{name!r} is the plural of the domain {singular!r}: startdomain {singular}")
    package = root / "automation" / "domains" / name
    if package.exists():
        raise Conflict(f"{package.relative_to(root)} exists; edit what is there, or choose another name")
    cls = "".join(part.capitalize() for part in name.split("_"))
    title = name.replace("_", " ").capitalize()
    written = []
    domains = package.parent / "__init__.py"
    wanted = {domains: '"""One small Django app for each domain."""\n'}
    wanted |= {
        root / path.format(name=name): text.format(name=name, cls=cls, title=title) for path, text in FILES.items()
    }
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(text)
            written.append(path)
    return written
