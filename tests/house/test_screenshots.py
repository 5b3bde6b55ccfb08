"""`make screenshots` says what it lacks, and gives a browser what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from project.embedded import free_port
from tests.support.receiver import HttpReceiver

ROOT = Path(__file__).resolve().parents[2]


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "project.screenshots"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """Writes the page's address into the picture, as the one part of Chromium that matters here."""
    path = tmp_path / "browser"
    path.write_text(
        '#!/bin/sh\nfor last; do case "$last" in --screenshot=*) out=${last#*=};; esac; done\necho "$last" > "$out"\n'
    )
    path.chmod(0o755)
    return path


def test_it_says_that_it_needs_a_browser(tmp_path: Path) -> None:
    done = run(PATH=str(tmp_path), CHROMIUM="")

    assert done.returncode == 1
    assert done.stderr.startswith("weir: no Chromium found (looked for: chromium, ")
    assert done.stderr.count("\n") == 1


def test_it_says_that_nothing_runs(browser: Path) -> None:
    done = run(CHROMIUM=str(browser), PORT=str(free_port()))

    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "make up" in done.stderr


def test_it_takes_a_picture_of_each_page(browser: Path, http_receiver: HttpReceiver, tmp_path: Path) -> None:
    done = run(CHROMIUM=str(browser), WEIR_URL=http_receiver.url(""), WEIR_VAR_DIR=str(tmp_path))

    assert done.returncode == 0, done.stderr
    pictures = {path.name: path.read_text().strip() for path in (tmp_path / "screenshots").iterdir()}
    assert pictures == {
        "api-docs.png": http_receiver.url("/api/v1/docs/"),
        "admin-login.png": http_receiver.url("/admin/login/"),
    }
