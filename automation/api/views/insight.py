"""Looking at one workflow: what it did, and what a draft of it would have done. And copying it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from automation.api import etags, queries
from automation.api.serializers.insight import (
    BacktestRequestSerializer,
    BacktestSerializer,
    DuplicateSerializer,
    ExecutionSummarySerializer,
)
from automation.api.serializers.workflows import WorkflowSerializer
from automation.api.views.base import caller
from automation.api.views.trials import OneWorkflowView
from automation.models import Workflow
from automation.services import backtest, copies, summaries


class DaysSerializer(serializers.Serializer[Any]):
    days = serializers.IntegerField(required=False, default=30, min_value=1, max_value=366)


@extend_schema(tags=["workflows"])
class ExecutionSummaryView(OneWorkflowView):
    """What a workflow's executions came to."""

    @extend_schema(
        operation_id="workflows_execution_summary",
        summary="Summarize a workflow's executions",
        responses=ExecutionSummarySerializer,
        parameters=[OpenApiParameter("days", int, description="How far back: 30 unless you say otherwise.")],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Counts, times, actions, errors by their cause, the last 30 runs, and what lies ahead."""
        wanted = queries.read(request, DaysSerializer)
        return Response(summaries.execution_summary(self.get_object(), wanted["days"]))


@extend_schema(tags=["workflows"])
class DuplicateView(OneWorkflowView):
    """A copy of a workflow."""

    @extend_schema(
        operation_id="workflows_duplicate",
        summary="Duplicate a workflow",
        request=DuplicateSerializer,
        responses={201: WorkflowSerializer},
        examples=[OpenApiExample("Under a name of its own", {"name": "Reminder for workshops"}, request_only=True)],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """With its actions and their secrets; it is off until you switch it on."""
        copy = copies.duplicate(self.get_object(), by=caller(request), **self.read(DuplicateSerializer))
        found = Workflow.objects.select_related("organizer").prefetch_related("actions", "event_types").get(pk=copy.pk)
        body = WorkflowSerializer(found, context=self.get_serializer_context()).data
        return Response(body, status=status.HTTP_201_CREATED, headers={"ETag": etags.etag(found)})


@extend_schema(tags=["workflows"])
class BacktestView(OneWorkflowView):
    """A draft on the bookings of the past."""

    @extend_schema(
        operation_id="workflows_backtest",
        summary="Try the draft on the last bookings",
        request=BacktestRequestSerializer,
        responses=BacktestSerializer,
        examples=[OpenApiExample("Where they differ", {"bookings": 200, "only_differences": True}, request_only=True)],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Which of the last bookings the draft would have acted on, and how that differs from the live version. The
        bookings count as they are now; nothing is rendered and nothing sent."""
        wanted = self.read(BacktestRequestSerializer)
        found = backtest.backtest(self.get_object(), bookings=wanted["bookings"], version=wanted["version"])
        return Response(found.as_dict(only_differences=wanted["only_differences"]))
