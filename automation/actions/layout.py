"""The page around every HTML mail that an author has not written as a whole document.

Built as mail programs want it: tables and inline styles, 600 pixels wide at most and narrower on a phone, colours that
stay readable where the program turns them dark, and the first words as the preview of the inbox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

_DOCUMENT = re.compile(r"<(?:!doctype|html|body)\b", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
PREVIEW = 120
"""Characters of the text that the inbox shows beside the subject."""

FONT = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
<style>
a {{ color: #1f5fbf; }}
.content p {{ margin: 0 0 16px; }}
.content > :last-child {{ margin-bottom: 0; }}
.content img {{ max-width: 100%; height: auto; }}
@media (prefers-color-scheme: dark) {{
  .page {{ background: #16191d !important; }}
  .card {{ background: #22262c !important; border-color: #343a42 !important; }}
  .content {{ color: #e8eaed !important; }}
  .footer {{ color: #a3aab3 !important; }}
  a {{ color: #8ab4f8 !important; }}
  .footer a {{ color: #a3aab3 !important; }}
}}
@media (max-width: 480px) {{
  .card {{ padding: 24px 20px !important; }}
}}
</style>
</head>
<body class="page" style="margin:0;padding:0;background:#f3f4f6;-webkit-text-size-adjust:100%">
<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">{preview}</div>
<table class="page" role="presentation" width="100%" cellpadding="0" cellspacing="0" style="background:#f3f4f6">
<tr><td align="center" style="padding:32px 12px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width:600px">
<tr><td class="card content" style="background:#ffffff;border:1px solid #e2e5e9;border-radius:8px;padding:32px;\
font-family:{font};font-size:16px;line-height:1.55;color:#1f2328;word-break:break-word">
{content}
</td></tr>
<tr><td class="footer" align="center" style="padding:20px 12px 0;font-family:{font};font-size:12px;line-height:1.6;\
color:#5f6873">
{footer}
</td></tr>
</table>
</td></tr>
</table>
{pixel}</body>
</html>
"""


@dataclass(frozen=True)
class Surroundings:
    """What stands around the message: plain texts and URLs, none of them escaped yet."""

    title: str
    text: str
    """The message as text, for the inbox's preview."""
    sender: str = ""
    unsubscribe_url: str = ""
    pixel_url: str = ""


def page(content: str, around: Surroundings) -> str:
    """`content`, an HTML fragment, as a whole mail. A document of the author's own stays as it is."""
    pixel = _pixel(around.pixel_url)
    if _DOCUMENT.search(content):
        found = _BODY_END.search(content)
        end = found.start() if found else len(content)
        return content[:end] + pixel + content[end:]
    return _PAGE.format(
        title=escape(around.title),
        preview=escape(_SPACES.sub(" ", around.text)[:PREVIEW]),
        font=FONT,
        content=content,
        footer=_footer(around),
        pixel=pixel,
    )


def _footer(around: Surroundings) -> str:
    lines = [f"Sent on behalf of {escape(around.sender)}."] if around.sender else []
    if around.unsubscribe_url:
        url = escape(around.unsubscribe_url)
        lines.append(f'<a href="{url}" style="color:inherit;text-decoration:underline">Unsubscribe</a>')
    return "<br>\n".join(lines)


def _pixel(url: str) -> str:
    if not url:
        return ""
    return (
        f'<img src="{escape(url)}" width="1" height="1" alt="" style="display:block;border:0;width:1px;height:1px">\n'
    )
