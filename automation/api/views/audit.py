"""Who changed what."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from automation.api.filters import MomentFilter, RowNumberFilter
from automation.api.views.base import OwnedView
from automation.models import AuditAction, AuditLog


class AuditSerializer(serializers.ModelSerializer[AuditLog]):
    actor_email = serializers.EmailField(source="actor.email", allow_null=True, read_only=True, default=None)
    changes = serializers.DictField(
        child=serializers.ListField(child=serializers.JSONField(allow_null=True)),
        read_only=True,
        help_text="Field → [before, after]; secrets are masked.",
    )

    class Meta:
        model = AuditLog
        fields = (
            *("id", "at", "action", "subject", "subject_id", "name", "organizer", "actor", "actor_email", "changes"),
        )
        read_only_fields = fields


class AuditFilter(django_filters.FilterSet):
    actor = RowNumberFilter("actor_id", label="The id of who changed it.")
    action = django_filters.MultipleChoiceFilter(choices=AuditAction.choices)
    at_after = MomentFilter("at", lookup_expr="gte", label="Changed at or after.")
    at_before = MomentFilter("at", lookup_expr="lt", label="Changed before.")

    class Meta:
        model = AuditLog
        fields = ("subject", "subject_id")


@extend_schema(tags=["audit"])
class AuditView(mixins.ListModelMixin, OwnedView[AuditLog]):
    """Changes of workflows, their actions, preferences and what else an organizer owns; newest first."""

    queryset: QuerySet[AuditLog] = AuditLog.objects.select_related("actor")
    serializer_class = AuditSerializer
    filterset_class = AuditFilter
    search_fields = ("name",)
    ordering_fields = ("at",)
    ordering = ("-id",)

    @extend_schema(summary="List changes")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.list(request, *args, **kwargs)
