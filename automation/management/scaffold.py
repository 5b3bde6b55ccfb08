"""The files of a new domain."""

from __future__ import annotations

import itertools
import keyword
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps

from automation.durable import registry
from automation.errors import Conflict, InvalidInput
from automation.services import queues

RESERVED = ("system", "automation", "domains", *queues.WORDS)

LONGEST = 50
"""Characters of a name: it is part of names of queues, tables and modules."""

FILES = {
    "automation/domains/{name}/__init__.py": '''"""{title}."""

from automation.domains import exports

__getattr__ = exports(__name__)
''',
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
class {workflow}:
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


WORKFLOWS = [{workflow}]
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
    execution = carrier.start("{workflow}", "Ada", 3)
    carrier.finish(execution)
    assert result(execution) == {{"greeting": "Hello, Ada"}}
''',
}


def make(name: str, root: Path) -> list[Path]:
    """Write a domain's files under the project's root; returns them. Nothing that exists is touched.

    Raises InvalidInput for a name that cannot be one, and Conflict where the domain exists.
    """
    _check(name)
    package = root / "automation" / "domains" / name
    tests = root / "tests" / "domains"
    for path in (package, tests / name, tests / f"test_{name}.py"):
        if path.exists():
            raise Conflict(f"{path.relative_to(root)} exists; edit what is there, or choose another name")
    cls = "".join(part.capitalize() for part in name.split("_"))
    known = {definition.name for definition in registry.workflows()}
    workflow = next(one for one in _names_of_workflow(cls) if one not in known)
    title = name.replace("_", " ").capitalize()
    written = []
    wanted = {
        root / path.format(name=name): text.format(name=name, cls=cls, workflow=workflow, title=title)
        for path, text in FILES.items()
    }
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(text)
            written.append(path)
    return written


def _check(name: str) -> None:
    plain = name.isidentifier() and name.isascii() and name == name.lower() and name[0].isalpha() and name[-1] != "_"
    if not plain or keyword.iskeyword(name) or len(name) > LONGEST:
        raise InvalidInput(
            f"{name!r} cannot name a domain: expected a Python name in lower case of at most {LONGEST} characters, "
            "such as 'warehouse'"
        )
    labels = {
        config.label: config.name for config in apps.get_app_configs() if config.name != f"automation.domains.{name}"
    }
    if name in RESERVED:
        raise InvalidInput(f"{name!r} is taken: choose another name than {', '.join(RESERVED)}")
    if name in labels:
        raise InvalidInput(f"{name!r} is taken by the Django app {labels[name]}: choose another name")
    for singular in queues.domains():
        if name == f"{singular}s":
            raise InvalidInput(f"{name!r} is the plural of the domain {singular!r}: startdomain {singular}")
        if f"{name}s" == singular:
            raise InvalidInput(f"the plural of {name!r} would be the domain {singular!r}: choose another name")


def _names_of_workflow(cls: str) -> Iterator[str]:
    """What the workflow may be called: 'TestWorkflow' is taken, and 'RefundWorkflow' by another domain."""
    yield f"{cls}Workflow"
    yield f"{cls}GreetingWorkflow"
    yield from (f"{cls}GreetingWorkflow{number}" for number in itertools.count(2))
