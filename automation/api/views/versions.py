"""Drafts, publishing, versions and rolling back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import django_filters
from django.db import transaction
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import mixins
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from automation.api import etags, queries
from automation.api.filters import MomentFilter
from automation.api.serializers.versions import (
    DraftContentSerializer,
    DraftSerializer,
    PublicationSerializer,
    PublishSerializer,
    VersionDetailSerializer,
    VersionSerializer,
    draft_body,
)
from automation.api.views.base import OwnedView, caller
from automation.api.views.trials import OneWorkflowView
from automation.api.views.workflows import IF_MATCH, workflow_of
from automation.errors import InvalidInput
from automation.models import User, Workflow, WorkflowDraft, WorkflowVersion
from automation.services import publishing, versions
from automation.services.publishing import Publication

DRAFT_EXAMPLE = OpenApiExample("Another delay, nobody notices yet", {"delay_minutes": 90}, request_only=True)
PUBLISH_EXAMPLE = OpenApiExample("With a note", {"note": "Friendlier words"}, request_only=True)


@extend_schema(tags=["workflows"])
class DraftView(OneWorkflowView):
    """What is being worked on, beside the workflow that is live. One draft each; its ETag counts its edits."""

    checks_if_match = True

    @extend_schema(operation_id="workflows_draft_retrieve", summary="Get the draft", responses=DraftSerializer)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """With its changes to what is live. Without a draft: what is live, with `exists` false."""
        return self._answer(self.get_object())

    @extend_schema(
        operation_id="workflows_draft_update",
        summary="Replace the draft",
        request=DraftContentSerializer,
        responses=DraftSerializer,
        parameters=[IF_MATCH],
    )
    def put(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """What is not named stays as it was in the draft."""
        return self._save(partial=False)

    @extend_schema(
        operation_id="workflows_draft_partial_update",
        summary="Change the draft",
        request=DraftContentSerializer,
        responses=DraftSerializer,
        examples=[DRAFT_EXAMPLE],
        parameters=[IF_MATCH],
    )
    def patch(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The first change begins the draft from what is live. It may be unfinished: `validate/` with `draft` tells
        what is missing before it can be published."""
        return self._save(partial=True)

    @extend_schema(
        operation_id="workflows_draft_destroy",
        summary="Discard the draft",
        responses={204: None},
        parameters=[IF_MATCH],
    )
    def delete(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            workflow = self._locked()
            publishing.discard(workflow)
        return Response(status=204)

    def _save(self, *, partial: bool) -> Response:
        with transaction.atomic():
            workflow = self._locked()
            fields = self.read(DraftContentSerializer, instance=workflow, partial=partial)
            publishing.save_draft(workflow, by=caller(self.request), **fields)
        return self._answer(workflow)

    def _locked(self) -> Workflow:
        workflow = self.find(self.get_queryset().select_for_update(of=("self",)))
        etags.check_tag(self.request, _etag(workflow, publishing.draft_of(workflow)), "draft")
        return workflow

    def _answer(self, workflow: Workflow) -> Response:
        workflow.refresh_from_db()
        draft = publishing.draft_of(workflow)
        body = draft_body(workflow, versions.snapshot(workflow), draft)
        return Response(body, headers={"ETag": _etag(workflow, draft)})


def _etag(workflow: Workflow, draft: WorkflowDraft | None) -> str:
    """`W/"draft-<edits>-<live version>"`: the live version as well, as a draft shows what differs from it."""
    return f'W/"draft-{0 if draft is None else draft.revision}-{workflow.version}"'


@extend_schema(tags=["workflows"])
class PublishView(OneWorkflowView):
    """From draft to live."""

    checks_if_match = True

    @extend_schema(
        operation_id="workflows_publish",
        summary="Publish the draft",
        request=PublishSerializer,
        responses=PublicationSerializer,
        examples=[PUBLISH_EXAMPLE],
        parameters=[IF_MATCH],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answers with the version and what it changed. What has begun stays on its version; what is only planned
        follows. A 409 where what is live was edited since the draft began; If-Match takes the draft's ETag."""
        wanted = self.read(PublishSerializer)
        with transaction.atomic():
            workflow = self.find(self.get_queryset().select_for_update(of=("self",)))
            etags.check_tag(request, _etag(workflow, publishing.draft_of(workflow)), "draft")
            found = publishing.publish(workflow, by=caller(request), **wanted)
        return publication(found, self.get_serializer_context())


@extend_schema(tags=["workflows"])
class RollBackView(OneWorkflowView):
    """Back to an earlier version."""

    checks_if_match = True

    @extend_schema(
        operation_id="workflows_roll_back",
        summary="Make an earlier version live again",
        request=None,
        responses=PublicationSerializer,
        parameters=[IF_MATCH],
    )
    def post(self, request: Request, *args: Any, number: int, **kwargs: Any) -> Response:
        """As a new version; secrets stay as they are now. A draft stays too."""
        with transaction.atomic():
            workflow = self.find(self.get_queryset().select_for_update(of=("self",)))
            etags.check(request, workflow)
            found = publishing.roll_back(workflow, number, by=caller(request))
        return publication(found, self.get_serializer_context())


class VersionFilter(django_filters.FilterSet):
    created_after = MomentFilter("created_at", lookup_expr="gte")
    created_before = MomentFilter("created_at", lookup_expr="lt")

    class Meta:
        model = WorkflowVersion
        fields = ()


class _VersionsOfOne(OwnedView[WorkflowVersion], GenericAPIView[WorkflowVersion]):
    queryset = WorkflowVersion.objects.filter(number__isnull=False).select_related("workflow", "created_by")
    serializer_class: Any = VersionSerializer
    owner_lookup = "workflow__organizer"
    lookup_field = "number"

    def owned_by(self, user: User) -> Q:
        return Q()  # `get` asks whose workflow it is

    def get_queryset(self) -> QuerySet[WorkflowVersion]:
        return super().get_queryset().filter(workflow=self.kwargs.get("pk"))


@extend_schema(tags=["workflows"])
class VersionsView(_VersionsOfOne, mixins.ListModelMixin):
    """Every version that was live, newest first."""

    filterset_class = VersionFilter
    search_fields = ("note", "created_by__email")
    ordering_fields = ("number", "created_at")
    ordering = ("-number",)

    @extend_schema(operation_id="workflows_versions_list", summary="List a workflow's versions")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Each with what it changed."""
        workflow_of(self, self.kwargs["pk"])
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {**self.get_serializer_context(), "before": _snapshots_before(page)}
        return self.get_paginated_response(VersionSerializer(page, many=True, context=context).data)


@extend_schema(tags=["workflows"])
class VersionView(_VersionsOfOne):
    """One version with all that it says."""

    @extend_schema(
        operation_id="workflows_versions_retrieve",
        summary="Get a version, and how it differs from another",
        responses=VersionDetailSerializer,
        parameters=[
            OpenApiParameter(
                "against", str, description="`previous` (the default), `live`, `draft`, or a version's number."
            )
        ],
    )
    def get(self, request: Request, *args: Any, number: int, **kwargs: Any) -> Response:
        queries.only(request, ["against"])
        workflow = workflow_of(self, self.kwargs["pk"])
        version = publishing.version_of(workflow, number)
        context = {
            **self.get_serializer_context(),
            "against": _against(workflow, version, request.query_params.get("against", "previous")),
            "before": _snapshots_before([version]),
        }
        return Response(VersionDetailSerializer(version, context=context).data)


def publication(found: Publication, context: Mapping[str, Any]) -> Response:
    context = {**context, "before": _snapshots_before([found.version])}
    return Response(
        {
            "version": VersionSerializer(found.version, context=context).data,
            "changes": [change.as_dict() for change in found.changes],
        }
    )


def _snapshots_before(page: list[WorkflowVersion]) -> dict[tuple[UUID, int], dict[str, Any]]:
    """By (workflow, number): what the version before it said. One query."""
    wanted = [version.number - 1 for version in page if version.number is not None]
    rows = WorkflowVersion.objects.filter(workflow_id__in={version.workflow_id for version in page}, number__in=wanted)
    return {
        (workflow_id, number + 1): snapshot
        for workflow_id, number, snapshot in rows.values_list("workflow_id", "number", "snapshot")
        if number is not None
    }


def _against(workflow: Workflow, version: WorkflowVersion, against: str) -> dict[str, Any] | None:
    match against:
        case "previous":
            return _snapshots_before([version]).get((workflow.pk, version.number or 0))
        case "live":
            return versions.snapshot(workflow)
        case "draft":
            return publishing.content_of(workflow, draft=True)
    if against.isascii() and against.isdigit() and len(against) < 10:
        found: dict[str, Any] = publishing.version_of(workflow, int(against)).snapshot
        return found
    raise InvalidInput(
        "There is nothing of that name to compare with.",
        {"against": [f"{against[:50]!r} is none of previous, live, draft, or a version's number."]},
    )
