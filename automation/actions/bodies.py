"""From one message template to the text and the HTML of a mail.

An author writes either plain text, which becomes HTML with its paragraphs, lines and links kept, or HTML (told by its
tags), whose inserted values are escaped and of which a plain text is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape
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
_HIDDEN = ("style", "script", "head", "title")
_HIDDEN_ENDS = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in _HIDDEN}
_NAME = re.compile(r"<(/?)([a-zA-Z!?][a-zA-Z0-9]*)")
_HREF = re.compile(r"\shref\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"']+)", re.IGNORECASE)
_ALT = re.compile(r"\salt\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"']+)", re.IGNORECASE)
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Bodies:
    """`html` is a fragment, or the document that the author wrote."""

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
    """Plain text as an HTML fragment: everything escaped, paragraphs and lines kept, links live."""
    return "\n".join(
        f"<p>{_linked(part).replace(chr(10), '<br>')}</p>" for part in _PARAGRAPHS.split(_unix(text).strip()) if part
    )


def text_of(html: str) -> str:
    """HTML as plain text: blocks and lines on lines of their own, a link's address behind its words."""
    reader = _TextReader()
    reader.read(html)
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


class _TextReader:
    """Reads from left to right and never back: the standard library's parser takes quadratic time for `<p <p <p …`."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._links: list[tuple[str, int]] = []

    def read(self, html: str) -> None:
        position = 0
        while (start := html.find("<", position)) >= 0:
            self._data(html[position:start])
            if html.startswith("<!--", start):
                end = html.find("-->", start + 4)
                position = end + 3 if end >= 0 else len(html)
                continue
            end = html.find(">", start)
            match = _NAME.match(html, start)
            if end < 0 or match is None:  # a bare "<"
                self.pieces.append("<")
                position = start + 1
                if end < 0:
                    break
                continue
            position = end + 1
            closing, name = match.group(1), match.group(2).lower()
            if not closing and name in _HIDDEN:
                hidden_end = _HIDDEN_ENDS[name].search(html, position)
                position = hidden_end.end() if hidden_end else len(html)
            elif closing:
                self._end(name)
            else:
                self._start(name, html[start:end])
        self._data(html[position:])

    def _start(self, name: str, tag: str) -> None:
        if name == "br":
            self.pieces.append("\n")
        elif name == "li":
            self.pieces.append("\n- ")
        elif name in _BLOCKS:
            self.pieces.append("\n\n" if name != "tr" else "\n")
        elif name in ("td", "th"):
            self.pieces.append(" ")
        elif name == "a":
            self._links.append((_attribute(_HREF, tag), len(self.pieces)))
        elif name == "img":
            self.pieces.append(_attribute(_ALT, tag))

    def _end(self, name: str) -> None:
        if name in _BLOCKS:
            self.pieces.append("\n\n" if name != "tr" else "\n")
        elif name == "a" and self._links:
            address, start = self._links.pop()
            words = "".join(self.pieces[start:])
            self.pieces[start:] = [words]  # joined once, however deep links are nested
            if address.startswith(("http:", "https:")) and address != words.strip():
                self.pieces.append(f" ({address})")

    def _data(self, text: str) -> None:
        if text:
            self.pieces.append(_SPACES.sub(" ", _decoded(text)))


def _attribute(pattern: re.Pattern[str], tag: str) -> str:
    match = pattern.search(tag)
    return _decoded(match.group(1).strip("\"'")) if match else ""


def _decoded(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:  # a character reference of thousands of digits
        return text
