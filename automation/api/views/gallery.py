"""Workflow templates: the gallery, one's own, and workflows made from them."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from automation.api.serializers.fields import ChoiceField, ObjectField
from automation.api.serializers.workflows import WorkflowSerializer
from automation.api.views.base import caller
from automation.api.views.workflows import workflow_of
from automation.errors import NotFound
from automation.models import TemplateCategory, WorkflowTemplate
from automation.services import gallery


class PrerequisiteSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    met = serializers.BooleanField(allow_null=True, help_text="Null: only a person can say.")


class TemplateSerializer(serializers.ModelSerializer[WorkflowTemplate]):
    """A template. `template_data` is the workflow as `export/` writes it."""

    template_data = ObjectField(read_only=True)
    own = serializers.SerializerMethodField()

    class Meta:
        model = WorkflowTemplate
        fields: tuple[str, ...] = (
            *("id", "name", "description", "category", "template_data", "is_public", "own", "usage_count"),
            "created_at",
        )
        read_only_fields = fields

    def get_own(self, template: WorkflowTemplate) -> bool:
        return template.organizer_id == caller(self.context["request"]).pk


class TemplateDetailSerializer(TemplateSerializer):
    """One template, with what a workflow made from it needs."""

    prerequisites = serializers.SerializerMethodField()

    class Meta(TemplateSerializer.Meta):
        fields = (*TemplateSerializer.Meta.fields, "prerequisites")
        read_only_fields = fields

    def get_prerequisites(self, template: WorkflowTemplate) -> list[dict[str, Any]]:
        found = gallery.prerequisites(template, caller(self.context["request"]))
        return [{"code": one.code, "message": one.message, "met": one.met} for one in found]


class SaveTemplateSerializer(serializers.Serializer[Any]):
    workflow = serializers.UUIDField()
    name = serializers.CharField(max_length=200, required=False, default="")
    description = serializers.CharField(required=False, default="", max_length=5000)
    category = ChoiceField(choices=TemplateCategory.choices)
    is_public = serializers.BooleanField(required=False, default=False, help_text="For all organizers; staff only.")


class CreateFromSerializer(serializers.Serializer[Any]):
    template_id = serializers.UUIDField()
    customizations = ObjectField(
        required=False,
        help_text="Fields of the workflow; and `customize_actions`: {action's name or number: {field: value}}, where "
        "null leaves an action out.",
    )


class TemplateFilter(django_filters.FilterSet):
    category = django_filters.MultipleChoiceFilter(choices=TemplateCategory.choices)
    own = django_filters.BooleanFilter(method="filter_own", label="Only one's own, or only others'.")

    class Meta:
        model = WorkflowTemplate
        fields = ("category", "is_public")

    def filter_own(self, rows: QuerySet[WorkflowTemplate], name: str, value: bool) -> QuerySet[WorkflowTemplate]:
        user = caller(cast(Request, self.request))
        return rows.filter(organizer=user) if value else rows.exclude(organizer=user)


@extend_schema_view(list=extend_schema(summary="List workflow templates"))
@extend_schema(tags=["templates"])
class TemplateViewSet(mixins.ListModelMixin, GenericViewSet[WorkflowTemplate]):
    """Public templates and one's own."""

    queryset = WorkflowTemplate.objects.all()
    also_answers = {"create": ("404",)}
    serializer_class = TemplateSerializer
    filterset_class = TemplateFilter
    search_fields = ("name", "description")
    ordering_fields = ("name", "category", "usage_count", "created_at")
    ordering = ("category", "name")
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[WorkflowTemplate]:
        if getattr(self, "swagger_fake_view", False):
            return WorkflowTemplate.objects.none()
        return gallery.visible_to(caller(self.request))

    def get_object(self) -> WorkflowTemplate:
        return template_of(self.request, self.kwargs["pk"])

    @extend_schema(summary="Get a template", responses=TemplateDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """With its prerequisites: what it needs from you, from invitees and from other systems."""
        return Response(TemplateDetailSerializer(self.get_object(), context=self.get_serializer_context()).data)

    @extend_schema(
        summary="Save a workflow as a template",
        request=SaveTemplateSerializer,
        responses={201: TemplateDetailSerializer},
        examples=[
            OpenApiExample(
                "Save",
                {"workflow": "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10", "category": "reminder", "name": "Our reminder"},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = SaveTemplateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        fields = dict(given.validated_data)
        workflow = workflow_of(self, fields.pop("workflow"))  # type: ignore[arg-type]
        template = gallery.save(workflow, by=caller(request), **fields)
        answer = TemplateDetailSerializer(template, context=self.get_serializer_context())
        return Response(answer.data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Delete one's own template", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Those that come with Weir cannot be deleted."""
        template = self.get_object()
        user = caller(request)
        if template.key or not (template.organizer_id == user.pk or user.is_staff):
            raise NotFound(f"There is no template {template.pk} of yours.")
        template.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["templates"])
class CreateFromView(APIView):
    """A workflow from a template."""

    also_answers = ("404",)

    @extend_schema(
        operation_id="workflows_templates_create_from",
        summary="Make a workflow from a template",
        request=CreateFromSerializer,
        responses={201: OpenApiResponse(WorkflowSerializer, description="The workflow, switched off.")},
        examples=[
            OpenApiExample(
                "With another name and subject",
                {
                    "template_id": "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10",
                    "customizations": {
                        "name": "My reminder",
                        "delay_minutes": 120,
                        "customize_actions": {"Reminder": {"subject": "In two hours: {{ event_type_name }}"}},
                    },
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """It is switched off until you switch it on, unless `customizations` say `is_active: true`."""
        given = CreateFromSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        template = template_of(request, given.validated_data["template_id"])
        user = caller(request)
        workflow = gallery.create_from(template, user, given.validated_data.get("customizations"), by=user)
        workflow.refresh_from_db()
        answer = WorkflowSerializer(workflow, context={"request": request, "view": self})
        return Response(answer.data, status=status.HTTP_201_CREATED)


def template_of(request: Request, id: UUID) -> WorkflowTemplate:
    """A template that the caller may use. Raises NotFound."""
    template = gallery.visible_to(caller(request)).filter(pk=id).first()
    if template is None:
        raise NotFound(f"There is no template {id}, or it belongs to somebody else.")
    return template
