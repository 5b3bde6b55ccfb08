"""What cannot be used stops each process at its start, and is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from automation import checks

ROOT = Path(__file__).resolve().parents[2]


def run(words: list[str], environment: Mapping[str, str], var: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "WEIR_VAR_DIR": str(var), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"SMS_BACKEND": "nothing"}, "SMS_BACKEND='nothing' cannot be imported"),
        ({"EMAIL_BACKEND": "nothing.Backend"}, "EMAIL_BACKEND='nothing.Backend' cannot be imported"),
        ({"PAYMENTS_BACKEND": "automation.errors.WeirError"}, "is not a subclass of automation.providers.payments"),
        ({"VIDEO_BACKEND": "zoom"}, "VIDEO_BACKEND='zoom' cannot be imported"),
        ({"ENCRYPTION_KEYS": ["abc"]}, "ENCRYPTION_KEYS: key 1 of 1 is not valid"),
        ({"PAYLOAD_KEYS": ["abc"]}, "PAYLOAD_KEYS: key 1 of 1 is not valid"),
        ({"PAYLOAD_CODEC": "abc.d"}, "PAYLOAD_CODEC='abc.d' cannot be imported"),
    ],
)
def test_what_cannot_be_used_is_an_error(settings_: dict[str, Any], said: str, settings: Any) -> None:
    for name, value in settings_.items():
        setattr(settings, name, value)
    [problem] = checks.configuration(None)
    assert problem.is_serious()
    assert said in problem.msg
    with pytest.raises(SystemExit) as caught:
        checks.start()
    assert str(caught.value) == f"weir: {problem.msg}"


def test_a_credential_that_is_missing_here_may_be_there_where_it_is_needed(settings: Any) -> None:
    settings.PAYMENTS_BACKEND = "automation.providers.payments.stripe.StripeBackend"
    settings.VIDEO_BACKEND = "daily"
    problems = checks.configuration(None)
    assert [problem.is_serious() for problem in problems] == [False, False]
    assert "STRIPE_API_KEY" in problems[0].msg
    assert "DAILY_API_KEY" in problems[1].msg
    checks.start()


def test_the_defaults_are_in_order() -> None:
    assert checks.configuration(None) == checks.definitions(None) == []


@pytest.mark.parametrize(
    ("environment", "secure"),
    [
        ({"PUBLIC_URL": "https://weir.example.com", "PRODUCTION": "on", "SECRET_KEY": "k" * 50}, "True True"),
        ({"PUBLIC_URL": "http://intranet", "PRODUCTION": "on", "SECRET_KEY": "k" * 50}, "False False"),
        ({"PUBLIC_URL": "https://weir.example.com"}, "False False"),
    ],
)
def test_cookies_of_an_https_site_travel_by_nothing_else(
    environment: dict[str, str], secure: str, tmp_path: Path
) -> None:
    program = "from project import settings as s; print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE)"
    assert run(["-c", program], environment, tmp_path).stdout.strip() == secure


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """`python manage.py … | head`."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "manage.py", "list_workflows", "--detailed"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "WEIR_VAR_DIR": str(tmp_path)},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("module", ["project.wsgi", "project.asgi"])
def test_a_web_process_ends_with_one_line(module: str, tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()  # or whitenoise has a line about it
    done = run(["-c", f"import {module}"], {"PAYLOAD_KEYS": "abc"}, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("weir: PAYLOAD_KEYS: key 1 of 1 is not valid")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["manage.py", "sync_schedules"], ["-m", "celery", "-A", "project", "worker", "--pool", "solo"]]
)
def test_a_command_and_a_worker_do_not_start(words: list[str], tmp_path: Path) -> None:
    done = run(words, {"SMS_BACKEND": "nothing", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}, tmp_path)
    assert done.returncode != 0
    assert "SMS_BACKEND='nothing' cannot be imported" in done.stderr
