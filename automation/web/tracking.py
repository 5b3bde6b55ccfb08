"""The pixel and the redirect of mails whose action asked for opens and clicks to be noted.

Both answer whatever happens behind them: a reader who follows a link gets there, though the database be away. A HEAD
request, which scanners make, counts for nothing.
"""

from __future__ import annotations

import base64
import logging
from contextlib import suppress
from uuid import UUID

from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from automation.actions import tracking
from automation.errors import NotFound
from automation.providers.callbacks import Kind
from automation.services import delivery_events

logger = logging.getLogger(__name__)

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of one pixel."""


@never_cache
@require_safe
def opened(request: HttpRequest, token: str) -> HttpResponse:
    with suppress(NotFound):  # a picture all the same: a broken one tells more
        _note(request, tracking.read_open(token), Kind.OPENED)
    return HttpResponse(PIXEL, content_type="image/gif")


@never_cache
@require_safe
def clicked(request: HttpRequest, token: str) -> HttpResponse:
    try:
        notification_id, url = tracking.read_click(token)
    except NotFound as error:
        raise Http404(error.message) from None
    _note(request, notification_id, Kind.CLICKED, url)
    # Not HttpResponseRedirect, which judges schemes: the URL is one that we have signed, of http or https.
    response = HttpResponse(status=302)
    response["Location"] = url
    response["Referrer-Policy"] = "no-referrer"
    return response


def _note(request: HttpRequest, notification_id: UUID, kind: Kind, url: str = "") -> None:
    if request.method != "GET":
        return
    try:
        delivery_events.seen(notification_id, kind, url)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("an event of message %s was not noted: %s", notification_id, error)
