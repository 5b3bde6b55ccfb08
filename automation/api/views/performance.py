"""How workflows have been doing, day by day."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from automation.api import queries
from automation.api.views.base import caller
from automation.api.views.workflows import workflow_of
from automation.models import Workflow
from automation.services import trends
from automation.services.trends import Performance, WorkflowFigures


class TotalsSerializer(serializers.Serializer[Any]):
    runs = serializers.IntegerField(help_text="Those that completed or failed.")
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField(help_text="Cancelled, terminated or skipped; no runs.")
    success_rate = serializers.FloatField(help_text="Percent; 0 where there was no run.")
    average_seconds = serializers.FloatField(allow_null=True, help_text="From start to end, waits included.")
    longest_seconds = serializers.FloatField(allow_null=True)
    actions_executed = serializers.IntegerField()
    actions_failed = serializers.IntegerField()


class DaySerializer(TotalsSerializer):
    day = serializers.DateField(help_text="In UTC.")


class WorkflowTotalsSerializer(TotalsSerializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    is_active = serializers.BooleanField()


class PerformanceSerializer(serializers.Serializer[Any]):
    since = serializers.DateField()
    until = serializers.DateField()
    overall = TotalsSerializer()
    before = TotalsSerializer(help_text="The same over as many days before.")
    days = DaySerializer(many=True)
    top_performing = WorkflowTotalsSerializer(many=True)
    problematic = WorkflowTotalsSerializer(many=True, help_text="At least 3 runs, and less than 80% of them completed.")
    slowest = WorkflowTotalsSerializer(many=True)


class QuerySerializer(serializers.Serializer[Any]):
    days = serializers.IntegerField(min_value=1, max_value=trends.MAX_DAYS, default=trends.DAYS)
    workflow = serializers.UUIDField(required=False)


@extend_schema(tags=["workflows"])
class PerformanceView(GenericAPIView[Workflow]):
    """Figures over the last days."""

    also_answers = ("404",)
    queryset = Workflow.objects.none()
    pagination_class = None
    filter_backends = ()

    @extend_schema(
        operation_id="workflows_performance_stats",
        summary="Get performance statistics",
        parameters=[
            OpenApiParameter("days", int, default=trends.DAYS, description=f"1 to {trends.MAX_DAYS}, today included."),
            OpenApiParameter("workflow", str, description="Of this workflow alone, by id."),
        ],
        responses=PerformanceSerializer,
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Overall, day by day, and the workflows that do best, worst and slowest. Counted once a minute."""
        wanted = queries.read(request, QuerySerializer)
        id_ = wanted.get("workflow")
        workflow = workflow_of(self, id_) if id_ else None  # type: ignore[arg-type]
        found = trends.performance(caller(request), wanted["days"], workflow=workflow)
        return Response(PerformanceSerializer(_shown(found)).data)


def _shown(found: Performance) -> dict[str, Any]:
    def workflows(figures: list[WorkflowFigures]) -> list[dict[str, Any]]:
        return [{"id": one.id, "name": one.name, "is_active": one.is_active, **one.totals.as_dict()} for one in figures]

    return {
        "since": found.since,
        "until": found.until,
        "overall": found.totals.as_dict(),
        "before": found.before.as_dict(),
        "days": [{"day": day, **totals.as_dict()} for day, totals in found.days],
        "top_performing": workflows(found.top),
        "problematic": workflows(found.problematic),
        "slowest": workflows(found.slowest),
    }
