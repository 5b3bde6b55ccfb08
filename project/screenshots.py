"""`make screenshots`: pictures of the pages of a running Weir, of a mail and of the pages that mails link to, taken by
an installed Chromium."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import django
import requests
import yaml

from project import env

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGES = {"api-docs": "/api/v1/docs/", "admin-login": "/admin/login/", "sign-in": "/sign-in/"}
SIZE = "1280,900"
MAIL = "booking-confirmation.yaml"
"""The template of the gallery whose first mail is taken, with every field's sample."""
LOOKS = {"light": (SIZE, "1"), "dark": (SIZE, "0"), "narrow": ("375,800", "1")}
"""Size, and what the browser says of the reader's taste: 0 dark, 1 light."""
INVITEE_PAGES = ("cancel", "reschedule", "feedback")
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
    for name, text in {"mail": mail(), **invitee_pages()}.items():
        page = directory / f"{name}.html"
        page.write_text(text, "utf-8")
        for look, (size, scheme) in LOOKS.items():
            target = directory / f"{name}-{look}.png"
            shoot(browser, page.as_uri(), target, size=size, scheme=scheme)
            print(target)


def mail() -> str:
    """The HTML of a mail as the email action makes it; nothing is sent, and no database asked."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    from automation.actions.config import ActionConfig
    from automation.actions.registry import registry
    from automation.rules.fields import sample_context

    template = yaml.safe_load((ROOT / "automation/gallery/templates" / MAIL).read_text("utf-8"))
    action = ActionConfig.from_mapping(template["workflow"]["actions"][0])
    preview = registry.get(action.action_type).preview(sample_context(), action)
    if preview.problems:
        raise SystemExit(f"weir: {MAIL} makes no mail: {preview.problems[0].message}")
    return str(preview.rendered["html"])


def invitee_pages() -> dict[str, str]:
    """The pages of a booking that is to come, and of one that is over, by name; no database is asked."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    from django.template.loader import render_to_string

    from automation import clock
    from automation.models import Booking, EventType, User
    from automation.web import invitees

    organizer = User(email="ada@example.com", first_name="Ada", last_name="Lovelace")
    offered = EventType(organizer=organizer, name="Discovery Call", duration=45)

    def page(name: str, in_days: int) -> str:
        start = clock.now().replace(hour=9, minute=30) + dt.timedelta(days=in_days)
        booking = Booking(
            event_type=offered,
            organizer=organizer,
            invitee_timezone="Europe/Madrid",
            start_time=start,
            end_time=start + dt.timedelta(minutes=45),
        )
        more = invitees.choices(booking, "", "") if name == "reschedule" else {"ratings": invitees.RATINGS}
        return render_to_string(f"web/{name}.html", invitees.about(booking, name) | more)

    return {name: page(name, -2 if name == "feedback" else 2) for name in INVITEE_PAGES}


def shoot(browser: str, url: str, target: Path, *, size: str = SIZE, scheme: str = "1") -> None:
    """One page into one PNG file. Raises SystemExit with what the browser said where there is none."""
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="weir-browser-") as profile:
        options = ["--headless", "--hide-scrollbars", f"--window-size={size}", f"--user-data-dir={profile}"]
        options.append(f"--blink-settings=preferredColorScheme={scheme}")
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
