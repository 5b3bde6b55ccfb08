"""The pages behind links in messages: unsubscribing, and opens and clicks."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from automation.actions import tracking
from automation.actions.unsubscribe import unsubscribe_url
from automation.models import NotificationLog, NotificationPreference, User
from automation.services import delivery_events

JOSE = "jose@example.com"


@pytest.fixture
def organizer(db: None) -> User:
    return User.objects.create_user("ada@example.com", first_name="Ada", last_name="<b>Lovelace</b>")


@pytest.fixture
def path(organizer: User, settings: Any) -> str:
    return unsubscribe_url(organizer.pk, JOSE).removeprefix(settings.PUBLIC_URL)


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def is_unsubscribed() -> bool:
    return NotificationPreference.objects.filter(recipient=JOSE, unsubscribed_at__isnull=False).exists()


# --- Unsubscribing ----------------------------------------------------------------------------------------------------


def test_a_get_asks_and_changes_nothing(browser: Client, path: str) -> None:
    for method in (browser.get, browser.head):
        response = method(path)
        assert response.status_code == 200
    page = browser.get(path).content.decode()
    assert JOSE in page
    assert "&lt;b&gt;Lovelace" in page
    assert not is_unsubscribed()
    assert not NotificationPreference.objects.exists()


def test_one_click_of_a_mail_program(browser: Client, path: str) -> None:
    """RFC 8058: no cookie, no CSRF token, no redirect; and again and again."""
    for _ in range(3):
        response = browser.post(path, {"List-Unsubscribe": "One-Click"})
        assert response.status_code == 200
        assert "csrftoken" not in response.cookies
    assert is_unsubscribed()
    first = NotificationPreference.objects.get().unsubscribed_at
    browser.post(path, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")
    assert NotificationPreference.objects.get().unsubscribed_at == first


def test_and_back_again(browser: Client, path: str) -> None:
    assert "You are unsubscribed" in browser.post(path, {"action": "unsubscribe"}).content.decode()
    assert "You are unsubscribed" in browser.get(path).content.decode()
    assert "Welcome back" in browser.post(path, {"action": "resubscribe"}).content.decode()
    assert not is_unsubscribed()
    assert "Unsubscribe?" in browser.get(path).content.decode()


def test_the_key_in_the_address_goes_nowhere_else(browser: Client, path: str) -> None:
    response = browser.get(path)
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]
    assert response["X-Robots-Tag"] == "noindex"


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_link_that_is_not_ours(method: str, browser: Client, path: str) -> None:
    token = path.split("/")[2]
    for forged in ("x", token[:-2], token[::-1], f"{token}x", "%00", "é", "a" * 5000, token.replace(":", "")):
        response = getattr(browser, method)(f"/unsubscribe/{forged}/")
        assert response.status_code == 404
        assert "not valid" in response.content.decode()
    assert not NotificationPreference.objects.exists()


def test_an_organizer_who_has_gone(browser: Client, path: str, organizer: User) -> None:
    organizer.delete()
    assert browser.get(path).status_code == 200
    assert browser.post(path).status_code == 404
    assert not NotificationPreference.objects.exists()


# --- Opens and clicks -------------------------------------------------------------------------------------------------


@pytest.fixture
def mail(organizer: User) -> NotificationLog:
    return NotificationLog.objects.create(organizer=organizer, channel="email", recipient=JOSE, status="sent")


def local(url: str, settings: Any) -> str:
    assert url.startswith(settings.PUBLIC_URL)
    return url.removeprefix(settings.PUBLIC_URL)


def test_a_pixel_notes_the_first_opening(browser: Client, mail: NotificationLog, settings: Any) -> None:
    path = local(tracking.pixel_url(mail.id), settings)
    browser.head(path)
    mail.refresh_from_db()
    assert mail.status == "sent"
    for _ in range(2):
        response = browser.get(path)
        assert response["Content-Type"] == "image/gif"
        assert response.content.startswith(b"GIF89a")
    mail.refresh_from_db()
    assert mail.status == "opened"
    assert mail.events.count() == 1


def test_a_link_leads_where_the_message_said(browser: Client, mail: NotificationLog, settings: Any) -> None:
    url = "https://m.example/room?a=1&b=ü#x"
    for _ in range(2):
        response = browser.get(local(tracking.click_url(mail.id, url), settings))
        assert response.status_code == 302
        assert response["Location"].startswith("https://m.example/room?a=1&b=")
    mail.refresh_from_db()
    assert mail.status == "clicked"
    assert [event.detail for event in mail.events.all()] == [url]


def test_there_is_no_open_redirect(browser: Client, mail: NotificationLog, settings: Any) -> None:
    good = local(tracking.click_url(mail.id, "https://m.example/"), settings).split("/")[3]
    pixel = local(tracking.pixel_url(mail.id), settings).split("/")[3].removesuffix(".gif")
    for token in ("x", f"{good}x", pixel, good[3:], "https:%2F%2Fevil.example"):
        response = browser.get(f"/t/c/{token}/?url=https://evil.example")
        assert response.status_code == 404
        assert "Location" not in response
    response = browser.get(f"/t/c/{good}/?url=https://evil.example&next=//evil.example")
    assert response["Location"] == "https://m.example/"


def test_a_broken_pixel_is_still_a_picture(browser: Client, db: None) -> None:
    assert browser.get("/t/o/nonsense.gif").content.startswith(b"GIF89a")


def test_a_reader_gets_there_though_nothing_can_be_noted(
    browser: Client, mail: NotificationLog, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object) -> bool:
        raise OperationalError("the database is away")

    monkeypatch.setattr(delivery_events, "seen", away)
    assert browser.get(local(tracking.click_url(mail.id, "https://m.example/"), settings)).status_code == 302
    assert browser.get(local(tracking.pixel_url(mail.id), settings)).status_code == 200


@pytest.mark.parametrize(
    ("html", "tracked"),
    [
        ('<a href="https://a.example/?x=1&amp;y=2">a</a>', "https://a.example/?x=1&y=2"),
        ("<A class=b HREF='http://a.example'>a</A>", "http://a.example"),
        ('<a href="mailto:a@b.example">a</a>', None),
        ('<a href="tel:+34600">a</a>', None),
        ('<a href="#top">a</a>', None),
        ('<a href="javascript:alert(1)">a</a>', None),
        ('<area href="https://a.example">', None),
        ('<img src="https://a.example/x.png">', None),
    ],
)
def test_which_links_are_led_through_us(html: str, tracked: str | None, mail: NotificationLog, settings: Any) -> None:
    found = tracking.with_tracked_links(html, mail.id)
    if tracked is None:
        assert found == html
    else:
        token = found.split("/t/c/")[1].split("/")[0]
        assert tracking.read_click(token) == (mail.id, tracked)
