"""Workflows out and in as documents, in YAML and JSON; and one edit of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from automation.api import queries
from automation.api.parsers import StrictJSONParser, refuse_unstorable
from automation.api.problems import TooLarge
from automation.api.serializers.fields import ChoiceField
from automation.api.views.base import OwnedView, caller
from automation.errors import InvalidInput
from automation.models import Workflow
from automation.rules.problems import none_of
from automation.services import bulk, documents, portability
from automation.services.documents import Document

FORMATS = {"yaml": ("application/yaml", documents.to_yaml), "json": ("application/json", documents.to_json)}
DOCUMENT_EXAMPLE = {
    "weir": 1,
    "workflow": {
        "name": "Reminder a day before",
        "trigger": "before_meeting",
        "delay_minutes": 1440,
        "actions": [
            {"name": "Reminder", "action_type": "send_email", "order": 1, "subject": "Tomorrow", "message": "…"}
        ],
    },
}
FORMAT = OpenApiParameter("format", str, enum=list(FORMATS), default="yaml", description="How it is written.")


class YAMLParser(BaseParser):
    """A document in YAML, as text; it is read by the service."""

    media_type = "application/yaml"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit: int = settings.API_MAX_BODY_BYTES
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(f"The request's body is longer than {limit} bytes.")
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError(f"YAML: {error}") from None


class ImportedSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    action = serializers.ChoiceField(choices=["created", "updated", "unchanged", "skipped"])
    workflow_id = serializers.UUIDField(allow_null=True)
    changes = serializers.DictField(child=serializers.ListField(child=serializers.JSONField()))
    warnings = serializers.ListField(child=serializers.CharField())


class ImportResultSerializer(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField()
    workflows = ImportedSerializer(many=True)


class ImportOptionsSerializer(serializers.Serializer[Any]):
    mode = ChoiceField(choices=[mode.value for mode in portability.Mode], default=portability.Mode.CREATE)
    dry_run = serializers.BooleanField(default=False)
    is_active = serializers.BooleanField(allow_null=True, default=None)


class BulkEditSerializer(serializers.Serializer[Any]):
    action = ChoiceField(choices=[edit.value for edit in bulk.Edit])
    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=bulk.MAX)
    tags = serializers.ListField(
        child=serializers.CharField(max_length=50), required=False, default=list, max_length=20, help_text="To (un)tag."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["action"] in (bulk.Edit.TAG, bulk.Edit.UNTAG) and not attrs["tags"]:
            raise serializers.ValidationError({"tags": f"Name the tags to {attrs['action']}."})
        return attrs


class BulkEditResultSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    result = serializers.CharField(help_text="done, unchanged, not_found, or the code of an error.")
    message = serializers.CharField()


class BulkEditResultsSerializer(serializers.Serializer[Any]):
    done = serializers.IntegerField()
    results = BulkEditResultSerializer(many=True)


@extend_schema(tags=["workflows"])
class ExportView(OwnedView[Workflow]):
    """One workflow as a document."""

    queryset = Workflow.objects.all()
    pagination_class = None
    filter_backends = ()

    @extend_schema(
        operation_id="workflows_export",
        summary="Export a workflow",
        parameters=[FORMAT],
        responses={(200, "application/yaml"): OpenApiTypes.OBJECT, (200, "application/json"): OpenApiTypes.OBJECT},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Without ids, statistics and secrets, and stable: two exports of the same workflow are equal."""
        workflow = self.get_object()
        return _file(request, documents.of([workflow]), "".join(c if c.isalnum() else "-" for c in workflow.name))


@extend_schema(tags=["workflows"])
class ExportAllView(OwnedView[Workflow]):
    """All of an organizer's workflows as one document."""

    queryset = Workflow.objects.order_by("name", "pk")
    pagination_class = None
    filter_backends = ()

    @extend_schema(
        operation_id="workflows_export_all",
        summary="Export all workflows",
        parameters=[FORMAT],
        responses={(200, "application/yaml"): OpenApiTypes.OBJECT, (200, "application/json"): OpenApiTypes.OBJECT},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Your own, by name; staff export theirs alone as well."""
        return _file(request, documents.of(self.get_queryset().filter(organizer=caller(request))), "workflows")


@extend_schema(tags=["workflows"])
class ImportView(APIView):
    """Workflows from a document."""

    parser_classes = (StrictJSONParser, YAMLParser)

    @extend_schema(
        operation_id="workflows_import",
        summary="Import workflows",
        parameters=[
            OpenApiParameter(
                "mode",
                str,
                enum=[mode.value for mode in portability.Mode],
                default="create",
                description="What is done with a workflow whose name is taken: create refuses, update edits it, skip "
                "leaves it, copy takes another name.",
            ),
            OpenApiParameter("dry_run", bool, default=False, description="Say what would happen, and change nothing."),
            OpenApiParameter("is_active", bool, description="Instead of what the document says."),
        ],
        request={"application/json": OpenApiTypes.OBJECT, "application/yaml": OpenApiTypes.OBJECT},
        responses={
            200: OpenApiResponse(ImportResultSerializer, description="A dry run, or nothing new was made."),
            201: OpenApiResponse(ImportResultSerializer, description="Workflows were made."),
        },
        examples=[OpenApiExample("One workflow", DOCUMENT_EXAMPLE, request_only=True)],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All of it or nothing."""
        wanted = queries.read(request, ImportOptionsSerializer)
        imported = portability.import_documents(
            caller(request),
            _documents(request.data),
            mode=portability.Mode(wanted["mode"]),
            dry_run=wanted["dry_run"],
            active=wanted["is_active"],
            by=caller(request),
        )
        made = any(one.action == "created" for one in imported) and not wanted["dry_run"]
        rows = [asdict(one) | {"workflow_id": None if wanted["dry_run"] else one.workflow_id} for one in imported]
        answer = ImportResultSerializer({"dry_run": wanted["dry_run"], "workflows": rows})
        return Response(answer.data, status=status.HTTP_201_CREATED if made else status.HTTP_200_OK)


@extend_schema(tags=["workflows"])
class BulkView(OwnedView[Workflow]):
    """One edit of many workflows."""

    queryset = Workflow.objects.all()
    pagination_class = None
    filter_backends = ()

    @extend_schema(
        operation_id="workflows_bulk",
        summary="Edit many workflows",
        request=BulkEditSerializer,
        responses=BulkEditResultsSerializer,
        examples=[
            OpenApiExample(
                "Switch two off",
                {
                    "action": "disable",
                    "ids": ["0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10", "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a11"],
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Each for itself: one that fails keeps no other from being done. Answers what became of each."""
        given = BulkEditSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        results = bulk.apply(
            bulk.Edit(wanted["action"]), wanted["ids"], self.get_queryset(), tags=wanted["tags"], by=caller(request)
        )
        done = sum(one.result == "done" for one in results)
        return Response(BulkEditResultsSerializer({"done": done, "results": [asdict(one) for one in results]}).data)


def _documents(data: Any) -> list[Document]:
    if not isinstance(data, str):
        return documents.unwrap(data)
    found = documents.read(data)
    refuse_unstorable(found)
    return found


def _file(request: Request, found: list[Document], name: str) -> HttpResponse:
    queries.only(request, ["format"])
    wanted = request.query_params.get("format", "yaml")
    if wanted not in FORMATS:
        raise InvalidInput(f"There is no format {wanted[:50]!r}.", {"format": [none_of(wanted, FORMATS)]})
    media_type, write = FORMATS[wanted]
    response = HttpResponse(write(found), content_type=f"{media_type}; charset=utf-8")
    response["Content-Disposition"] = (
        f'attachment; filename="{name.encode("ascii", "ignore").decode() or "workflow"}.{wanted}"'
    )
    return response
