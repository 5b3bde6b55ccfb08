"""Executions: what ran, what it did step by step, and the controls over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from automation.actions.launches import PERMISSION, may_start_all
from automation.api.filters import ExecutionFilter, StepFilter
from automation.api.serializers.definitions import (
    QueryResultSerializer,
    RestartSerializer,
    SendSerializer,
    UpdateResultSerializer,
    UpdateSerializer,
)
from automation.api.serializers.executions import (
    ExecutionDetailSerializer,
    ExecutionSerializer,
    ReasonSerializer,
    StepSerializer,
)
from automation.api.views.base import OwnedView, caller
from automation.durable import histories
from automation.errors import NotFound
from automation.models import ExecutionStep, User, WorkflowExecution
from automation.services import steering


def executions_of(user: User) -> Q:
    """Runs of the organizer's workflows, and Python workflows about their bookings."""
    return Q(organizer=user)


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

    also_answers = {"query": ("422",), "send_update": ("422",), "restart": ("403",)}
    queryset = WorkflowExecution.objects.select_related("workflow", "version")
    filterset_class = ExecutionFilter
    search_fields = ("workflow__name", "definition", "business_id", "error_message", "booking__invitee_email")
    ordering_fields = ("created_at", "scheduled_for", "started_at", "completed_at", "status")
    ordering = ("-id",)  # newest first: ids sort by the time of their making

    def get_queryset(self) -> QuerySet[WorkflowExecution]:
        return super().get_queryset().filter(namespace=settings.WORKFLOW_NAMESPACE)

    def owned_by(self, user: User) -> Q:
        return executions_of(user)

    def get_serializer_class(self) -> Any:
        return ExecutionSerializer if self.action == "list" else ExecutionDetailSerializer

    @extend_schema(summary="Cancel", tags=["executions"], request=ReasonSerializer, examples=[CANCEL_EXAMPLE])
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: UUID) -> Response:
        """Ask it to stop: what is planned never starts, and what is running is told at its next step."""
        reason = self.read(ReasonSerializer)["reason"]
        return self._control(lambda id: steering.cancel(id, reason))

    @extend_schema(summary="Retry from the failed steps", tags=["executions"], request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: UUID) -> Response:
        """Steps that succeeded are not repeated."""
        return self._control(steering.retry)

    @extend_schema(summary="Re-drive a dead letter", tags=["executions"], request=None)
    @action(detail=True, methods=["post"])
    def redrive(self, request: Request, pk: UUID) -> Response:
        """Puts an execution that was given up back into the game."""
        return self._control(steering.redrive)

    @extend_schema(summary="Pause", tags=["executions"], request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: UUID) -> Response:
        """No further step starts until it is resumed; what runs at present goes to its end."""
        return self._control(steering.pause)

    @extend_schema(summary="Resume", tags=["executions"], request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: UUID) -> Response:
        """Goes on where it was paused."""
        return self._control(steering.resume)

    @extend_schema(
        summary="Send a signal",
        tags=["executions"],
        request=SendSerializer,
        responses={202: None},
        examples=[OpenApiExample("Approve", {"name": "approve", "args": [True]}, request_only=True)],
    )
    @action(detail=True, methods=["post"])
    def signal(self, request: Request, pk: UUID) -> Response:
        """It is in the execution's inbox when this answers, and handled in the order of its coming."""
        data = self.read(SendSerializer)
        steering.signal(self.get_object().pk, data["name"], data["args"])
        return Response(status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Ask a query",
        tags=["executions"],
        request=SendSerializer,
        responses=QueryResultSerializer,
        examples=[OpenApiExample("Status", {"name": "status"}, request_only=True)],
    )
    @action(detail=True, methods=["post"])
    def query(self, request: Request, pk: UUID) -> Response:
        """Its code answers of its state, whether it runs or has ended; nothing is changed."""
        data = self.read(SendSerializer)
        return Response({"result": steering.query(self.get_object().pk, data["name"], data["args"])})

    @extend_schema(
        summary="Send an update",
        tags=["executions"],
        request=UpdateSerializer,
        responses={200: UpdateResultSerializer, 202: UpdateResultSerializer},
        examples=[OpenApiExample("Priority", {"name": "set_priority", "args": [3]}, request_only=True)],
    )
    @action(detail=True, methods=["post"], url_path="update", url_name="update")
    def send_update(self, request: Request, pk: UUID) -> Response:
        """Waits for what it comes to: 200 with the result, or 202 where it takes longer; send it again with its id to
        go on waiting. An update that its validator refuses is a 422, and leaves no trace."""
        data = self.read(UpdateSerializer)
        found = steering.update(
            self.get_object().pk, data["name"], data["args"], update_id=data["id"], wait=data["wait_seconds"]
        )
        code = status.HTTP_200_OK if found.stage == "completed" else status.HTTP_202_ACCEPTED
        return Response({"id": found.id, "stage": found.stage, "result": found.result}, status=code)

    @extend_schema(
        summary="Restart, from a step or from the beginning",
        tags=["executions"],
        request=RestartSerializer,
        responses={201: ExecutionDetailSerializer},
        examples=[OpenApiExample("From step 3", {"from_step": 3}, request_only=True)],
    )
    @action(detail=True, methods=["post"])
    def restart(self, request: Request, pk: UUID) -> Response:
        """A new execution of the same workflow begins with a copy of the steps before. Other parameters take what
        starting a Python workflow takes."""
        data, user = self.read(RestartSerializer), caller(request)
        if data["input"] is not None and not may_start_all(user):
            raise PermissionDenied(f"Restarting with other parameters takes staff, or the permission {PERMISSION}.")
        new = steering.restart(self.get_object().pk, from_step=data["from_step"], values=data["input"])
        execution = self.get_queryset().get(pk=new)
        body = ExecutionDetailSerializer(execution, context=self.get_serializer_context()).data
        return Response(body, status=status.HTTP_201_CREATED)

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
        return super().get_queryset().filter(histories.IN_HISTORY, execution=self.kwargs.get("pk"))

    @extend_schema(summary="List an execution's steps")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        executions = WorkflowExecution.objects.filter(pk=self.kwargs["pk"], namespace=settings.WORKFLOW_NAMESPACE)
        user = caller(request)
        if not (executions if user.is_staff else executions.filter(executions_of(user))).exists():
            raise NotFound(f"There is no execution {self.kwargs['pk']}, or it belongs to somebody else.")
        return self.list(request)
