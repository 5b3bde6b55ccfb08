"""Opens and clicks: the addresses of a mail's pixel and of its links, where an action has asked for it.

What a link leads to is inside its signed token, so that the redirect leads nowhere that we did not write ourselves.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing

from automation.actions.config import ActionConfig
from automation.errors import NotFound

OPEN_PATH = "/t/o/{token}.gif"
CLICK_PATH = "/t/c/{token}/"
_OPEN, _CLICK = "weir.open", "weir.click"
_HREF = re.compile(r"""(<a\s[^<>]*?\bhref\s*=\s*)("[^"<>]*"|'[^'<>]*')""", re.IGNORECASE)
_NO_TOKEN = "This link is not valid."  # noqa: S105 (a sentence)


def wanted(config: ActionConfig) -> bool:
    """Whether this action's mails tell when they are read. EMAIL_TRACKING can forbid it to all."""
    own = config.config if isinstance(config.config, dict) else {}
    return bool(settings.EMAIL_TRACKING) and own.get("tracking") is True


def pixel_url(notification_id: UUID) -> str:
    token = signing.Signer(salt=_OPEN).sign_object([str(notification_id)])
    return settings.PUBLIC_URL + OPEN_PATH.format(token=token)


def click_url(notification_id: UUID, url: str) -> str:
    token = signing.Signer(salt=_CLICK).sign_object([str(notification_id), url], compress=True)
    return settings.PUBLIC_URL + CLICK_PATH.format(token=token)


def with_tracked_links(html: str, notification_id: UUID) -> str:
    """`html` with its links to the web leading through us; `mailto:`, `tel:` and anchors stay."""

    def tracked(match: re.Match[str]) -> str:
        url = unescape(match.group(2)[1:-1]).strip()
        if not url.lower().startswith(("http://", "https://")):
            return match.group()
        return f'{match.group(1)}"{escape(click_url(notification_id, url))}"'

    return _HREF.sub(tracked, html)


def read_open(token: str) -> UUID:
    """The message that was opened. Raises NotFound for a token that is not ours."""
    return UUID(_read(_OPEN, token)[0])


def read_click(token: str) -> tuple[UUID, str]:
    """The message, and where its link leads. Raises NotFound for a token that is not ours."""
    notification_id, url = _read(_CLICK, token)
    return UUID(notification_id), url


def _read(salt: str, token: str) -> Any:
    try:
        return signing.Signer(salt=salt).unsign_object(token)
    except signing.BadSignature:
        raise NotFound(_NO_TOKEN) from None
