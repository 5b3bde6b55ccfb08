"""Executions: what ran, what it did step by step, and the controls over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from automation.api.filters import ExecutionFilter, StepFilter
from automation.api.serializers.executions import (
    ExecutionDetailSerializer,
    ExecutionSerializer,
    ReasonSerializer,
    StepSerializer,
)
from automation.api.views.base import OwnedView, caller
from automation.durable import control
from automation.errors import NotFound
from automation.models import Booking, ExecutionStep, User, Workflow, WorkflowExecution


def executions_of(user: User) -> Q:
    """Runs of the organizer's workflows, and Python workflows about their bookings. By subqueries: joined, the two
    conditions take twice as long over a large table."""
    workflows, bookings = Workflow.objects.filter(organizer=user), Booking.objects.filter(organizer=user)
    return Q(workflow__in=workflows.values("pk")) | Q(booking__in=bookings.values("pk"))


CANCEL_EXAMPLE = OpenApiExample("Cancel", {"reason": "The campaign is over"}, request_only=True)


@extend_schema_view(
    list=extend_schema(summary="List executions, newest first", tags=["executions"]),
    retrieve=extend_schema(summary="Get an execution with its log", tags=["executions"]),
)
class ExecutionViewSet(
    OwnedView[WorkflowExecution],
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    GenericViewSet[WorkflowExecution],
):
    """One run of a workflow. Its steps are its history; its log is what its actions came to."""

    queryset = WorkflowExecution.objects.select_related("workflow", "version")
    filterset_class = ExecutionFilter
    search_fields = ("workflow__name", "definition", "business_id", "error_message", "booking__invitee_email")
    ordering_fields = ("created_at", "scheduled_for", "started_at", "completed_at", "status")
    ordering = ("-id",)  # newest first: ids sort by the time of their making

    def owned_by(self, user: User) -> Q:
        return executions_of(user)

    def get_serializer_class(self) -> Any:
        return ExecutionSerializer if self.action == "list" else ExecutionDetailSerializer

    @extend_schema(summary="Cancel", tags=["executions"], request=ReasonSerializer, examples=[CANCEL_EXAMPLE])
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: UUID) -> Response:
        """Ask it to stop: what is planned never starts, and what is running is told at its next step."""
        reason = self.read(ReasonSerializer)["reason"]
        return self._control(lambda id: control.cancel(id, reason))

    @extend_schema(summary="Retry from the failed steps", tags=["executions"], request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: UUID) -> Response:
        """Steps that succeeded are not repeated."""
        return self._control(control.retry)

    @extend_schema(summary="Re-drive a dead letter", tags=["executions"], request=None)
    @action(detail=True, methods=["post"])
    def redrive(self, request: Request, pk: UUID) -> Response:
        """Puts an execution that was given up back into the game."""
        return self._control(control.redrive)

    @extend_schema(summary="Pause", tags=["executions"], request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: UUID) -> Response:
        """No further step starts until it is resumed; what runs at present goes to its end."""
        return self._control(control.pause)

    @extend_schema(summary="Resume", tags=["executions"], request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: UUID) -> Response:
        """Goes on where it was paused."""
        return self._control(control.resume)

    def _control(self, do: Callable[[UUID], Any]) -> Response:
        execution = self.get_object()
        do(execution.pk)
        execution = self.get_queryset().get(pk=execution.pk)
        return Response(ExecutionDetailSerializer(execution, context=self.get_serializer_context()).data)


@extend_schema(tags=["executions"])
class StepsView(OwnedView[ExecutionStep], mixins.ListModelMixin, GenericAPIView[ExecutionStep]):
    """An execution's steps in the order in which its code asked for them; what came from outside counts down."""

    queryset = ExecutionStep.objects.all()
    serializer_class = StepSerializer
    filterset_class = StepFilter
    search_fields = ("name",)
    ordering_fields = ("seq", "created_at", "started_at", "completed_at")
    ordering = ("seq",)

    def owned_by(self, user: User) -> Q:
        return Q()  # `get` has asked whose execution it is

    def get_queryset(self) -> QuerySet[ExecutionStep]:
        return super().get_queryset().filter(execution=self.kwargs.get("pk"))

    @extend_schema(summary="List an execution's steps")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        executions = WorkflowExecution.objects.filter(pk=self.kwargs["pk"])
        user = caller(request)
        if not (executions if user.is_staff else executions.filter(executions_of(user))).exists():
            raise NotFound(f"There is no execution {self.kwargs['pk']}, or it belongs to somebody else.")
        return self.list(request)
