"""What docs/automations.md says of the API is so: its commands run, and its paths and fields exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from automation.models import BookingEvent, User, WorkflowExecution
from automation.services import triggers
from automation.services.demo import EMAIL, PASSWORD
from automation.web import message_urls
from tests.api.world import document
from tests.support.waiting import wait_until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "automations.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PAUSE = '\necho > "$PAUSE"; while [ -e "$PAUSE" ]; do sleep 0.05; done\n'


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "python3"))), reason="no bash, curl or python3 here")
@pytest.mark.django_db(transaction=True)
def test_its_commands_run_one_after_the_other(live_server: Any, tmp_path: Path) -> None:
    """In one shell, against a server; after each block the test is the worker that has seen what was booked."""
    User.objects.create_user(EMAIL, PASSWORD)
    blocks = [code for language, code in BLOCKS if language == "sh"]
    assert len(blocks) >= 4
    pause = tmp_path / "pause"
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", PAUSE.join(blocks)],
        env={**os.environ, "WEIR": live_server.url, "PAUSE": str(pause)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        while shell.poll() is None:
            wait_until(lambda: pause.exists() or shell.poll() is not None, 60)
            triggers.process(list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)))
            pause.unlink(missing_ok=True)
        said = shell.communicate(timeout=60)[0]
    finally:
        shell.kill()
    assert shell.returncode == 0, said
    assert '"valid":true' in said
    assert "Two hours are enough" in said
    triggers.process(list(BookingEvent.objects.filter(processed_at=None).values_list("pk", flat=True)))
    assert WorkflowExecution.objects.get(workflow__name="A day ahead").status == "cancelled"


PATHS = {re.sub(r"{\w+}", "{}", path.removeprefix("/api/v1/")): item for path, item in document()["paths"].items()}
LINES = [
    line
    for language, code in BLOCKS
    if not language
    for line in code.splitlines()
    if re.match(r"(GET|POST|PATCH) ", line)
]


def test_there_are_requests() -> None:
    assert len(LINES) > 8


@pytest.mark.parametrize("line", LINES)
def test_a_request_that_it_shows_is_one_of_the_api(line: str) -> None:
    found = re.match(r"(\w+)\s+(\S+)\s*(\{.*?\})?(\s{2,}|$)", line)
    assert found is not None
    method, path, body = found[1], re.sub(r"{\w+}", "{}", found[2]), found[3]
    assert path in PATHS, path
    operation = PATHS[path].get(method.lower())
    assert operation is not None, f"{path} has no {method}"
    if body:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rsplit("/", 1)[1]
        known = document()["components"]["schemas"][name]["properties"]
        assert set(json.loads(body)) <= set(known), (sorted(known), body)


def test_the_paths_that_it_names_are_there() -> None:
    """A path in the text may be the end of one: `validate/`."""
    named = {
        re.sub(r"{\w+}|\b3\b", "{}", path.split("?")[0])
        for path in re.findall(r"`(?:GET |POST |PATCH |DELETE )?(?:…/)?([a-z{][\w{}/-]*/)(?:\?[^`]*)?`", TEXT)
    }
    pages = {re.sub(r"<[^>]+>", "{}", str(one.pattern)) for one in message_urls.urlpatterns}
    ends = {path[start:] for path in pages.union(PATHS) for start in (0, *(m.end() for m in re.finditer("/", path)))}
    missing = {path for path in named if path not in ends and not path.startswith("automation/")}
    assert missing == set()
    assert len(named) > 20


def test_the_settings_that_it_names_are_there() -> None:
    from django.conf import settings

    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", TEXT))
    unknown = {name for name in named if not hasattr(settings, name)}
    assert unknown <= {
        *("BOOKING_CREATED", "MEETING_ENDED"),  # Cal.com's words
    }
    assert len(named) > 8
