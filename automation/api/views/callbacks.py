"""Where mail and SMS providers tell what became of messages."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import RawPostDataException
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from automation.api.problems import TooLarge
from automation.providers.callbacks import Callback
from automation.services import delivery_events


class CallbackView(APIView):
    """Signed by the provider that the path names; what is not signed changes nothing."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes: tuple[type[BaseThrottle], ...] = ()  # a provider's burst comes from a few addresses
    checks_signature = True

    @extend_schema(
        operation_id="callback_receive",
        summary="Receive what a provider tells of messages",
        tags=["notifications"],
        request={"application/json": {}, "application/x-www-form-urlencoded": {"type": "object"}},
        responses={
            204: OpenApiResponse(description="Taken in; the same for messages that are not ours."),
        },
    )
    def post(self, request: Request, provider: str, *args: Any, **kwargs: Any) -> Response:
        """`twilio` (X-Twilio-Signature), `sendgrid` (its signed Event Webhook) or `email` (Standard Webhooks).
        Repeated and late events change nothing."""
        callback = Callback(
            # What was called is what we gave out, whatever a proxy in between makes of host and scheme.
            url=settings.PUBLIC_URL + request.get_full_path(),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=_body(request),
            query=request.query_params.dict(),
        )
        delivery_events.receive(provider, callback)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _body(request: Request) -> bytes:
    """The bytes that were signed; of at most API_MAX_BODY_BYTES."""
    limit: int = settings.API_MAX_BODY_BYTES
    raw = request._request
    try:
        body = raw.read(limit + 1)
    except RawPostDataException:
        body = raw.body
    if len(body) > limit:
        raise TooLarge(f"The request's body is longer than {limit} bytes.")
    return body
