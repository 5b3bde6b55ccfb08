"""Python workflows: which there are, and starting one by name.

Staff may, and users with the permission `automation.add_workflowexecution`: what code defines belongs to no organizer,
and can do whatever its activities do.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from automation.actions.launches import PERMISSION, may_start_all
from automation.api import queries
from automation.api.serializers.definitions import DefinitionSerializer, DefinitionsSerializer, StartSerializer
from automation.api.serializers.executions import ExecutionDetailSerializer
from automation.api.views.base import caller
from automation.durable.registry import UnknownName
from automation.errors import NotFound
from automation.models import WorkflowExecution
from automation.services import catalogue, running, steering


class MayStart(BasePermission):
    """Staff, and users who may add executions."""

    message = f"Starting Python workflows takes staff, or the permission {PERMISSION}."

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        return bool(user and user.is_authenticated and may_start_all(caller(request)))


def described(entry: catalogue.Entry) -> dict[str, Any]:
    """A workflow with its parameters, and the messages that it takes."""
    definition = catalogue.workflow_definition(entry)
    return {
        "name": entry.name,
        "domain": entry.domain,
        "summary": entry.summary,
        "queue": entry.queue,
        "parameters": [steering.described(one) for one in entry.parameters],
        "signals": [],
        "queries": [],
        "updates": [],
        **steering.messages_of(definition),
    }


def found(name: str) -> catalogue.Entry:
    try:
        return catalogue.workflow(name)
    except UnknownName as error:
        raise NotFound(str(error)) from error


class DefinitionView(APIView):
    permission_classes = (IsAuthenticated, MayStart)


class DefinitionsView(DefinitionView):
    """The workflows that code defines, by domain and name."""

    @extend_schema(
        operation_id="definitions_list",
        summary="List Python workflows",
        tags=["definitions"],
        parameters=[OpenApiParameter("domain", str, description="Those of one domain; plurals are fine.")],
        responses=DefinitionsSerializer,
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        queries.only(request, ["domain"])
        domain = request.query_params.get("domain", "")
        entries = [entry for entry in catalogue.entries(domain) if entry.kind == "workflow"]
        return Response({"count": len(entries), "definitions": [described(entry) for entry in entries]})


class OneDefinitionView(DefinitionView):
    """One workflow that code defines."""

    @extend_schema(
        operation_id="definitions_retrieve",
        summary="Get a Python workflow",
        tags=["definitions"],
        responses=DefinitionSerializer,
    )
    def get(self, request: Request, name: str, *args: Any, **kwargs: Any) -> Response:
        return Response(described(found(name)))


class StartView(DefinitionView):
    """Start a Python workflow."""

    @extend_schema(
        operation_id="definitions_start",
        summary="Start a Python workflow",
        tags=["definitions"],
        request=StartSerializer,
        responses={201: ExecutionDetailSerializer},
        examples=[
            OpenApiExample("Start", {"id": "order-4711", "input": {"order_id": 4711}}, request_only=True),
        ],
    )
    def post(self, request: Request, name: str, *args: Any, **kwargs: Any) -> Response:
        """Its parameters are checked against the workflow's signature."""
        found(name)
        serializer = StartSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        execution = running.start(name, values=data["input"], queue=data["queue"], business_id=data["id"])
        row = WorkflowExecution.objects.select_related("workflow", "version").get(id=execution)
        body = ExecutionDetailSerializer(row, context={"request": request}).data
        return Response(body, status=status.HTTP_201_CREATED)
