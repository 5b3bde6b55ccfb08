"""The page around HTML mails, options of the email action, and tracking in what is sent."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from automation.actions.config import ActionConfig
from automation.actions.layout import Surroundings, page
from automation.actions.registry import registry
from automation.actions.tracking import read_click, read_open
from automation.actions.unsubscribe import unsubscribe_url
from automation.models import NotificationLog
from tests.actions.conftest import Stage
from tests.support.mail import SmtpServer

MAIL: dict[str, Any] = {"action_type": "send_email", "subject": "Hi", "message": "Hello"}
AROUND = Surroundings(
    title="<Hi>", text="Hello & <welcome>\nto all", sender="A & B", unsubscribe_url="https://u/?a=1&b=2"
)


class Reader(HTMLParser):
    """Fails on tags that do not close in the order in which they opened."""

    VOID = ("meta", "img", "br", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.styled: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [str(value) for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_a_page_is_whole_and_escapes_what_it_is_given() -> None:
    html = page("<p>Hello</p>", AROUND)
    assert read(html).links == ["https://u/?a=1&b=2"]
    assert "<title>&lt;Hi&gt;</title>" in html
    assert ">Hello &amp; &lt;welcome&gt; to all</div>" in html
    assert "A &amp; B" in html
    assert "prefers-color-scheme: dark" in html
    assert "<img" not in html


def test_braces_in_the_content_are_just_braces() -> None:
    assert "<p>{title} {0} {{x}}</p>" in page("<p>{title} {0} {{x}}</p>", AROUND)


@pytest.mark.parametrize(
    "document", ["<!DOCTYPE html><html><body><p>x</p></body></html>", "<html><body>x</BODY ></html>"]
)
def test_a_document_of_the_authors_own_stays(document: str) -> None:
    assert page(document, AROUND) == document
    tracked = page(document, Surroundings(title="", text="", pixel_url="https://p/1.gif"))
    assert tracked.index("<img") < tracked.lower().index("</body")


@pytest.mark.usefixtures("smtp")
def test_a_mail_has_its_recipients_unsubscribe_link_in_page_and_header(stage: Stage, smtp_server: SmtpServer) -> None:
    stage.act(**MAIL)
    [received] = smtp_server.messages
    url = unsubscribe_url(stage.organizer.pk, "jose@enterprise.example")
    assert url in read(received.html).links
    assert received.message["List-Unsubscribe"].strip() == f"<{url}>"
    assert "Ada Lovelace" in received.html


@pytest.mark.usefixtures("smtp")
def test_tracking_is_for_who_asks_for_it(stage: Stage, smtp_server: SmtpServer, settings: Any) -> None:
    body = '<p>See <a href="https://m.example/?a=1&amp;b=2">here</a></p>'
    stage.act(**{**MAIL, "message": body})
    stage.act(**{**MAIL, "message": body, "config": {"tracking": True}})
    settings.EMAIL_TRACKING = False
    stage.act(**{**MAIL, "message": body, "config": {"tracking": True}})
    plain, tracked, forbidden = (received.html for received in smtp_server.messages)
    for html in (plain, forbidden):
        assert "/t/" not in html
        assert "https://m.example/?a=1&b=2" in read(html).links
    row = NotificationLog.objects.order_by("created_at")[1]
    [click] = [link for link in read(tracked).links if "/t/c/" in link]
    assert read_click(click.split("/")[-2]) == (row.id, "https://m.example/?a=1&b=2")
    assert read_open(tracked.split("/t/o/")[1].split(".gif")[0]) == row.id
    # The text is the author's own, and the unsubscribe link leads there directly.
    assert "https://m.example/?a=1&b=2" in smtp_server.messages[1].text


def test_options_are_checked() -> None:
    def problems(options: Any) -> list[str]:
        config = ActionConfig(action_type="send_email", subject="Hi", message="Hello", config=options)
        return [found.path for found in registry.get("send_email").validate(config)]

    assert problems({}) == problems({"calendar": True, "tracking": False}) == []
    assert problems({"calender": True}) == ["config.calender"]
    assert problems({"calendar": "yes"}) == ["config.calendar"]
    assert problems([]) == ["config"]


def test_a_preview_shows_the_whole_page(stage: Stage) -> None:
    invocation = stage.invocation(stage.execution(**{**MAIL, "config": {"calendar": True, "tracking": True}}))
    preview = registry.get("send_email").preview(invocation.context, invocation.action)
    assert preview.problems == []
    read(preview.rendered["html"])
    assert "Ada Lovelace" in preview.rendered["html"]
    assert len(preview.notes) == 2
    assert "/t/" not in preview.rendered["html"]
