"""Workflows with their actions, and actions by themselves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from automation.api import etags
from automation.api.filters import ActionFilter, WorkflowFilter
from automation.api.serializers.workflows import MAX_ACTIONS, StandaloneActionSerializer, WorkflowSerializer
from automation.api.views.base import OwnedView, caller
from automation.errors import NotFound
from automation.models import Workflow, WorkflowAction
from automation.services import workflows

CREATE_EXAMPLE = OpenApiExample(
    "A confirmation and a reminder",
    {
        "name": "Confirmation",
        "trigger": "booking_created",
        "actions": [
            {
                "name": "Confirm",
                "action_type": "send_email",
                "recipient": "invitee",
                "subject": "{{ event_type_name }} on {{ start_time | date }}",
                "message": "Hello {{ invitee_name }}, see you then.",
            },
            {
                "name": "Tell the CRM",
                "action_type": "webhook",
                "webhook_url": "https://crm.example.com/hooks/booking",
                "webhook_data": {"source": "weir"},
                "conditions": [
                    {
                        "operator": "AND",
                        "rules": [{"field": "invitee_domain", "operator": "equals", "value": "enterprise.com"}],
                    }
                ],
            },
        ],
    },
    request_only=True,
)
PATCH_EXAMPLE = OpenApiExample("Switch it off", {"is_active": False}, request_only=True)
ACTION_EXAMPLE = OpenApiExample(
    "A text message",
    {"name": "Text", "action_type": "send_sms", "message": "See you at {{ start_time | time }}"},
    request_only=True,
)
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that was read; a 412 if somebody has edited since."
)


@extend_schema_view(
    list=extend_schema(summary="List workflows with their actions"),
    create=extend_schema(summary="Make a workflow", examples=[CREATE_EXAMPLE]),
    retrieve=extend_schema(summary="Get a workflow"),
    update=extend_schema(
        summary="Replace a workflow and its list of actions", examples=[CREATE_EXAMPLE], parameters=[IF_MATCH]
    ),
    partial_update=extend_schema(summary="Change a workflow", examples=[PATCH_EXAMPLE], parameters=[IF_MATCH]),
    destroy=extend_schema(summary="Delete a workflow and what it has planned", parameters=[IF_MATCH]),
)
@extend_schema(tags=["workflows"])
class WorkflowViewSet(OwnedView[Workflow], ModelViewSet[Workflow]):
    """A trigger, a delay, and actions under conditions. Every edit is a new version; what runs keeps its own."""

    queryset = Workflow.objects.select_related("organizer").prefetch_related("actions", "event_types")
    serializer_class = WorkflowSerializer
    filterset_class = WorkflowFilter
    search_fields = ("name", "description", "actions__name")
    ordering_fields = ("name", "trigger", "created_at", "updated_at", "total_executions", "last_executed_at")
    ordering = ("name",)
    checks_if_match = True

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All in one body; a name and a trigger suffice."""
        workflow = workflows.create(caller(request), **self.read(WorkflowSerializer))
        return self._answer(workflow.pk, status.HTTP_201_CREATED)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Its ETag goes into the If-Match of an edit."""
        return self._answer(self.kwargs["pk"])

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """`actions`, where given, is the whole list: those whose `id` is given are kept."""
        with transaction.atomic():
            workflow = self.locked()
            changes = self.read(WorkflowSerializer, instance=workflow, partial=kwargs.get("partial", False))
            workflows.update(workflow, by=caller(request), **changes)
        return self._answer(workflow.pk)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Its history goes with it; to keep that, switch it off instead."""
        with transaction.atomic():
            workflows.delete(self.locked(), by=caller(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def locked(self) -> Workflow:
        """The workflow of the path, locked against other edits until the transaction ends; checks If-Match."""
        workflow = self.find(self.get_queryset().select_for_update(of=("self",)))
        etags.check(self.request, workflow)
        return workflow

    def _answer(self, id: UUID, code: int = status.HTTP_200_OK) -> Response:
        workflow = self.find_by(id)
        return Response(self.get_serializer(workflow).data, status=code, headers={"ETag": etags.etag(workflow)})

    def find_by(self, id: UUID) -> Workflow:
        self.kwargs["pk"] = id
        return self.get_object()


@extend_schema(tags=["workflows"])
class ActionsView(OwnedView[WorkflowAction], mixins.ListModelMixin, GenericAPIView[WorkflowAction]):
    """The actions of one workflow, in the order in which they run."""

    queryset = WorkflowAction.objects.select_related("workflow")
    serializer_class = StandaloneActionSerializer
    owner_lookup = "workflow__organizer"
    filterset_class = ActionFilter
    search_fields = ("name", "subject", "message")
    ordering_fields = ("order", "name", "total_executions", "last_executed_at")
    ordering = ("order",)
    checks_if_match = True

    def get_queryset(self) -> QuerySet[WorkflowAction]:
        return super().get_queryset().filter(workflow=self.kwargs.get("pk"))

    def get_workflow(self, *, lock: bool = False) -> Workflow:
        """The workflow of the path, if it is the caller's."""
        return workflow_of(self, self.kwargs["pk"], lock=lock)

    @extend_schema(summary="List a workflow's actions")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        workflow = self.get_workflow()
        response = self.list(request)
        response["ETag"] = etags.etag(workflow)
        return response

    @extend_schema(
        summary="Add an action",
        examples=[ACTION_EXAMPLE],
        parameters=[IF_MATCH],
        responses={201: StandaloneActionSerializer},
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Without an `order` it comes after the last one."""
        with transaction.atomic():
            workflow = self.get_workflow(lock=True)
            fields = self.read(StandaloneActionSerializer)
            action = workflows.add_action(workflow, by=caller(request), **fields)
        return answer(self, action, status.HTTP_201_CREATED)


class ReorderSerializer(serializers.Serializer[Any]):
    """Either `orders`, or `ids` in the order in which they are to run, one after the other."""

    ids = serializers.ListField(child=serializers.UUIDField(), required=False, min_length=1, max_length=MAX_ACTIONS)
    orders = serializers.DictField(
        child=serializers.IntegerField(min_value=0, max_value=100_000),
        required=False,
        help_text="Action's id → order; equal orders run in parallel.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("ids" in attrs) == ("orders" in attrs):
            raise serializers.ValidationError("Expected either 'ids' or 'orders'.")
        if len(set(attrs.get("ids", []))) < len(attrs.get("ids", [])):
            raise serializers.ValidationError({"ids": "An id is there twice."})
        try:
            given = attrs.get("orders") or {str(id_): order for order, id_ in enumerate(attrs.get("ids", []), 1)}
            attrs["wanted"] = {UUID(id_): order for id_, order in given.items()}
        except ValueError:
            raise serializers.ValidationError({"orders": "Expected the ids of actions, as UUIDs."}) from None
        return attrs


@extend_schema(tags=["workflows"])
class ReorderView(OwnedView[Workflow]):
    """The order of a workflow's actions."""

    queryset = Workflow.objects.all()
    pagination_class = None
    filter_backends = ()
    checks_if_match = True

    @extend_schema(
        operation_id="workflows_actions_reorder",
        summary="Put actions in order",
        parameters=[IF_MATCH],
        request=ReorderSerializer,
        responses=WorkflowSerializer,
        examples=[
            OpenApiExample(
                "Two in parallel, then one",
                {
                    "orders": {
                        "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10": 1,
                        "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a11": 1,
                        "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a12": 2,
                    }
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Actions that are not named keep their order."""
        with transaction.atomic():
            workflow = workflow_of(self, self.kwargs["pk"], lock=True)
            wanted = self.read(ReorderSerializer)["wanted"]
            workflow = workflows.reorder(workflow, wanted, by=caller(request))
        shown = Workflow.objects.prefetch_related("actions", "event_types").get(pk=workflow.pk)
        data = WorkflowSerializer(shown, context=self.get_serializer_context()).data
        return Response(data, headers={"ETag": etags.etag(shown)})


@extend_schema(tags=["workflows"])
class ActionView(OwnedView[WorkflowAction], GenericAPIView[WorkflowAction]):
    """One action. Its ETag is its workflow's: an edit of an action is an edit of the workflow."""

    queryset = WorkflowAction.objects.select_related("workflow")
    serializer_class = StandaloneActionSerializer
    owner_lookup = "workflow__organizer"
    checks_if_match = True

    @extend_schema(summary="Get an action")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return answer(self, self.get_object())

    @extend_schema(summary="Replace an action", examples=[ACTION_EXAMPLE], parameters=[IF_MATCH])
    def put(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._change(partial=False)

    @extend_schema(summary="Change an action", parameters=[IF_MATCH])
    def patch(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._change(partial=True)

    @extend_schema(summary="Delete an action", parameters=[IF_MATCH], responses={204: None})
    def delete(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            action = self._locked()
            workflows.remove_action(action, by=caller(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _locked(self) -> WorkflowAction:
        """The action of the path, under the lock of its workflow."""
        workflow_of(self, self.get_object().workflow_id, lock=True)
        return self.get_object()

    def _change(self, *, partial: bool) -> Response:
        with transaction.atomic():
            action = self._locked()
            changes = self.read(StandaloneActionSerializer, instance=action, partial=partial)
            action = workflows.update_action(action, by=caller(self.request), **changes)
        return answer(self, action)


def workflow_of(view: OwnedView[Any], id: UUID, *, lock: bool = False) -> Workflow:
    """The workflow, if it is the caller's; with `lock`, locked for an edit that If-Match allows."""
    user = caller(view.request)
    rows = Workflow.objects.all() if user.is_staff else Workflow.objects.filter(organizer=user)
    workflow = (rows.select_for_update() if lock else rows).filter(pk=id).first()
    if workflow is None:
        raise NotFound(f"There is no workflow {id}, or it belongs to somebody else.")
    if lock:
        etags.check(view.request, workflow)
    return workflow


def answer(view: OwnedView[WorkflowAction], action: WorkflowAction, code: int = status.HTTP_200_OK) -> Response:
    """The action with its workflow's ETag, read again: the edit has changed both."""
    found = WorkflowAction.objects.select_related("workflow").get(pk=action.pk)
    return Response(view.get_serializer(found).data, status=code, headers={"ETag": etags.etag(found.workflow)})
