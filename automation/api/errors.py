"""DRF's exception handler: whatever a view raises becomes the envelope of `automation.api.problems`."""

from __future__ import annotations

import logging
from typing import Any

from django.core.signals import got_request_exception
from django.http import HttpRequest
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from automation.api.problems import describe

logger = logging.getLogger(__name__)


def handle(exc: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER. Every exception gets a response; an unforeseen one is logged and says nothing."""
    problem = describe(exc)
    request = context.get("request")
    if problem.status >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        raw: HttpRequest | None = getattr(request, "_request", None)
        logger.error("%s %s failed", getattr(raw, "method", "?"), getattr(raw, "path", "?"), exc_info=exc)
        # Error trackers listen here; so does Django's test client, which raises what it hears.
        got_request_exception.send(sender=handle, request=raw)
    set_rollback()
    return Response(problem.envelope(), status=problem.status, headers=problem.headers)
