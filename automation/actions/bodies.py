"""From one message template to the text and the HTML of a mail.

An author writes either plain text, which becomes HTML with its paragraphs, lines and links kept, or HTML (told by its
tags), whose inserted values are escaped and of which a plain text is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import Any

from automation.rules import templating

_TAG = re.compile(
    r"<(?:!doctype|/?(?:html|head|body|p|br|div|span|a|b|i|u|em|strong|small|h[1-6]|ul|ol|li|table|tbody|tr|td|th|img|hr"
    r"|blockquote|pre|code|center|font|style))(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_LINK = re.compile(r"https?://[^\s<>\"']+")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_BLANK_LINES = re.compile(r"\n{3,}")
_BLOCKS = frozenset(
    ("p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "tr", "blockquote", "pre", "center", "hr")
)
_HIDDEN = frozenset(("style", "script", "head", "title"))


@dataclass(frozen=True)
class Bodies:
    text: str
    html: str
    fallbacks_used: list[str]


def is_html(source: str) -> bool:
    """Whether the author wrote HTML."""
    return _TAG.search(source) is not None


def render_bodies(source: str, context: Mapping[str, Any]) -> Bodies:
    """Raises TemplateError."""
    if is_html(source):
        rendered = templating.render_html(source, context)
        return Bodies(text_of(rendered.text), rendered.text, rendered.fallbacks_used)
    rendered = templating.render_text(source, context)
    return Bodies(rendered.text, html_of(rendered.text), rendered.fallbacks_used)


def html_of(text: str) -> str:
    """Plain text as an HTML document: everything escaped, paragraphs and lines kept, links live."""
    paragraphs = [
        f"<p>{_linked(part).replace(chr(10), '<br>')}</p>" for part in _PARAGRAPHS.split(_unix(text).strip()) if part
    ]
    return (
        '<!doctype html>\n<html><head><meta charset="utf-8"></head>\n'
        '<body style="font-family: sans-serif; line-height: 1.5">\n' + "\n".join(paragraphs) + "\n</body></html>\n"
    )


def text_of(html: str) -> str:
    """HTML as plain text: blocks and lines on lines of their own, a link's address behind its words."""
    reader = _TextReader()
    reader.feed(html)
    reader.close()
    lines = (line.strip() for line in "".join(reader.pieces).split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def _linked(text: str) -> str:
    pieces, end = [], 0
    for match in _LINK.finditer(text):
        address = match.group().rstrip(".,;:!?)]}")
        pieces += [escape(text[end : match.start()]), f'<a href="{escape(address)}">{escape(address)}</a>']
        end = match.start() + len(address)
    return "".join((*pieces, escape(text[end:])))


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "br":
            self.pieces.append("\n")
        elif tag == "li":
            self.pieces.append("\n- ")
        elif tag in _BLOCKS:
            self.pieces.append("\n\n" if tag != "tr" else "\n")
        elif tag in ("td", "th"):
            self.pieces.append(" ")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.pieces)))
        elif tag == "img" and (alt := dict(attrs).get("alt")):
            self.pieces.append(alt)

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.pieces.append("\n\n" if tag != "tr" else "\n")
        elif tag == "a" and self._links:
            address, start = self._links.pop()
            words = "".join(self.pieces[start:]).strip()
            if address.startswith(("http:", "https:")) and address != words:
                self.pieces.append(f" ({address})")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))
