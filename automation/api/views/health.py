"""Is the service up?"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from automation.services import health


class HealthView(APIView):
    """For load balancers and monitors: 200 while requests can be served, 503 otherwise. Anybody may ask."""

    permission_classes = (AllowAny,)
    authentication_classes = ()
    throttle_classes = ()  # several probes a second, from one address

    @extend_schema(
        operation_id="health", summary="Check the health", tags=["reference"], responses={200: dict, 503: dict}
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        report = health.report()
        return Response(report)
