"""`make screenshots`: pictures of the pages of a running Weir, taken by an installed Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import requests

from project import env

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGES = {"api-docs": "/api/v1/docs/", "admin-login": "/admin/login/"}
SIZE = "1280,900"
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    named = os.environ.get("CHROMIUM")
    browser = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit("weir: no Chromium found (looked for: " + ", ".join(BROWSERS) + "); set CHROMIUM to its path")
    port = env.integer("PORT", 8000, low=1, high=65535)
    base = env.url("WEIR_URL", f"http://localhost:{port}", ("http", "https")).rstrip("/")
    try:
        requests.get(base + PAGES["admin-login"], timeout=10).raise_for_status()
    except requests.RequestException as error:
        raise SystemExit(f"weir: {base} does not answer ({error}); run 'make up' in another terminal") from None
    directory = Path(env.text("WEIR_VAR_DIR", str(ROOT / "var"))) / "screenshots"
    directory.mkdir(parents=True, exist_ok=True)
    for name, path in PAGES.items():
        target = directory / f"{name}.png"
        shoot(browser, base + path, target)
        print(target)


def shoot(browser: str, url: str, target: Path) -> None:
    """One page into one PNG file. Raises SystemExit with what the browser said where there is none."""
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="weir-browser-") as profile:
        options = ["--headless", "--hide-scrollbars", f"--window-size={SIZE}", f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium refuses to run as root with it
        done = subprocess.run(  # noqa: S603 (the operator's browser)
            [browser, *options, "--virtual-time-budget=5000", f"--screenshot={target}", url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    if not target.exists():
        raise SystemExit(f"weir: {browser} took no picture of {url}:\n{done.stderr.strip()[-1000:]}")


if __name__ == "__main__":
    main()
