"""Is the service up?"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from automation.services import health


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(
        ["ok", "degraded", "down"], help_text="degraded: work is accepted and done late. down: nothing is accepted."
    )
    database = serializers.BooleanField(help_text="Whether it answers.")
    broker = serializers.BooleanField(help_text="Whether it answers.")
    beat = serializers.BooleanField(help_text="Whether it has shown a sign of life.")
    workers = serializers.IntegerField(help_text="Worker nodes that are alive.")
    backlog_seconds = serializers.FloatField(help_text="How long the row that has been due longest is overdue.")
    details = serializers.DictField(required=False, help_text="Nodes, queues and errors; for staff only.")


class HealthView(APIView):
    """For load balancers and monitors: 200 while requests can be served, 503 otherwise. Anybody may ask."""

    permission_classes = (AllowAny,)
    throttle_classes = ()  # several probes a second, from one address

    @extend_schema(
        operation_id="health",
        summary="Check the health",
        tags=["reference"],
        responses={200: HealthSerializer, 503: HealthSerializer},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        found = health.check()
        body: dict[str, Any] = {
            "status": found.status,
            "database": found.database.ok,
            "broker": found.broker.ok,
            "beat": found.beat.ok,
            "workers": len(found.workers),
            "backlog_seconds": found.backlog.oldest,
        }
        # The names of hosts and queues are nobody else's business.
        if getattr(request.user, "is_staff", False):
            body["details"] = found.as_dict()
        down = found.status == "down"
        return Response(body, status.HTTP_503_SERVICE_UNAVAILABLE if down else status.HTTP_200_OK)
