"""From a message to the text and the HTML of a mail."""

from __future__ import annotations

import time
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.actions.bodies import html_of, is_html, render_bodies, text_of


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p>Hello</p>", True),
        ("Hello<br>there", True),
        ("Hello <BR/> there", True),
        ('<a href="https://x.example">x</a>', True),
        ("<!doctype html><html></html>", True),
        ("1 < 2 and 3 > 2", False),
        ("a <b@example.com>", False),
        ("<{{ invitee_name }}>", False),
        ("I <3 you", False),
    ],
)
def test_html_is_told_by_its_tags(source: str, expected: bool) -> None:
    assert is_html(source) is expected


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two<br>Three</p>", "One\n\nTwo\nThree"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ('<a href="https://x.example/?a=1&amp;b=2">the page</a>', "the page (https://x.example/?a=1&b=2)"),
        ('<a href="https://x.example/">https://x.example/</a>', "https://x.example/"),
        ("<a href='mailto:a@x.example'>write</a>", "write"),
        ('<img src="x" alt="Logo">', "Logo"),
        ("<style>p { color: red }</style><p>x</p><script>alert(1)</script>y", "x\n\ny"),
        ("<!-- hidden <p> -->x<!-- open", "x"),
        ("a &lt; b &amp; c &#233; &nbsp;d", "a < b & c é d"),
        ("1 < 2", "1 < 2"),
        ("a <", "a <"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\n\nc"),
        ("many     spaces\n\n\nand lines", "many spaces and lines"),
        ("", ""),
    ],
)
def test_text_of_html(html: str, text: str) -> None:
    assert text_of(html) == text


@given(st.text(max_size=200))
def test_html_of_text_shows_the_text(text: str) -> None:
    body = html_of(text)
    assert "<script" not in body
    for tag in ("<p>", "</p>", "<br>"):
        body = body.replace(tag, "\n")
    shown = unescape(body)
    if "http" not in text:
        assert shown.split() == text.split()


@given(st.text(st.sampled_from("<>/!-&;#ap hrefstylcd='\"\n"), max_size=300))
def test_any_html_becomes_text(html: str) -> None:
    assert isinstance(text_of(html), str)


HOSTILE = {
    "tags": "<p " * 330_000,
    "one end": "<p " * 330_000 + ">",
    "comments": "<!--" * 250_000,
    "attributes": "<a" + " href" * 200_000 + ">",
    "spaces": "<a href" + " " * 900_000 + ">",
    "open links": "<a>" * 300_000 + "</a>" * 20_000,
    "nested links": "<a href='https://x/'>a" * 40_000 + "</a>" * 40_000,
    "styles": "<style></style >" * 60_000,
    "no end of style": "<style>" + "</style " * 120_000,
    "digits": "&#" + "9" * 900_000 + ";",
    "angles": "<" * 1_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_nonsense_takes_linear_time(name: str) -> None:
    started = time.process_time()
    is_html(HOSTILE[name])
    text_of(HOSTILE[name])
    html_of(HOSTILE[name])
    assert time.process_time() - started < 5


def test_a_text_message_is_escaped_as_a_whole() -> None:
    bodies = render_bodies("{{ invitee_name }} <3\nhttps://x.example/?a=1&b=2, ok", {"invitee_name": "<i>Eve</i>"})
    assert bodies.text == "<i>Eve</i> <3\nhttps://x.example/?a=1&b=2, ok"
    assert "&lt;i&gt;Eve&lt;/i&gt; &lt;3<br>" in bodies.html
    assert '<a href="https://x.example/?a=1&amp;b=2">' in bodies.html
