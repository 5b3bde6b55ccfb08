"""`make screenshots` says what it lacks, and gives a browser what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from project import screenshots
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
    """Writes the page's address, size and look into the picture, as the part of Chromium that matters here."""
    path = tmp_path / "browser"
    path.write_text(
        '#!/bin/sh\nfor last; do case "$last" in --screenshot=*) out=${last#*=};; --window-size=*) size=${last#*=};; '
        '--blink-settings=*) look=${last##*=};; esac; done\necho "$last $size $look" > "$out"\n'
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


def test_it_takes_a_picture_of_each_page_of_a_mail_and_of_what_it_links_to(
    browser: Path, http_receiver: HttpReceiver, tmp_path: Path
) -> None:
    done = run(CHROMIUM=str(browser), WEIR_URL=http_receiver.url(""), WEIR_VAR_DIR=str(tmp_path))

    assert done.returncode == 0, done.stderr
    folder = tmp_path / "screenshots"
    pictures = {path.name: path.read_text().strip() for path in folder.glob("*.png")}
    assert pictures == {
        "api-docs.png": http_receiver.url("/api/v1/docs/") + " 1280,900 1",
        "admin-login.png": http_receiver.url("/admin/login/") + " 1280,900 1",
        "sign-in.png": http_receiver.url("/sign-in/") + " 1280,900 1",
        **{
            f"{name}-{look}.png": f"{(folder / name).as_uri()}.html {how}"
            for name in ("mail", "cancel", "reschedule", "feedback")
            for look, how in (("light", "1280,900 1"), ("dark", "1280,900 0"), ("narrow", "375,800 1"))
        },
    }
    for name, words in (("cancel", "Cancel this booking?"), ("reschedule", "New start"), ("feedback", "Your rating")):
        assert words in (folder / f"{name}.html").read_text("utf-8")
    mail = folder / "mail.html"
    text = mail.read_text("utf-8")
    assert "Hello José Álvarez," in text
    assert "https://meet.example.com/abc-defg" in text
    assert ">Unsubscribe</a>" in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium is installed here")
def test_a_mail_is_readable_light_dark_and_narrow(tmp_path: Path) -> None:
    """What the pictures of a real browser are made of: a page of the right colour, and a card on it that fits."""
    browser = str(shutil.which("chromium"))
    page = tmp_path / "mail.html"
    page.write_text(screenshots.mail(), "utf-8")
    for look, (size, scheme) in screenshots.LOOKS.items():
        target = tmp_path / f"{look}.png"
        screenshots.shoot(browser, page.as_uri(), target, size=size, scheme=scheme)
        assert first_pixel(target) == ((0x16, 0x19, 0x1D) if look == "dark" else (0xF3, 0xF4, 0xF6)), look


def first_pixel(path: Path) -> tuple[int, ...]:
    """The colour of the upper left corner of a PNG of 8 bits a channel."""
    data = path.read_bytes()
    start, parts = 8, []
    while start < len(data):
        length, kind = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        if kind == b"IDAT":
            parts.append(data[start + 8 : start + 8 + length])
        start += 12 + length
    line = zlib.decompress(b"".join(parts))  # a filter's number, then the pixels; the first one has nothing before it
    return tuple(line[1:4])
