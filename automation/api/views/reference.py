"""What conditions, templates and actions may be made of, for people and for builders of forms."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from automation.actions.registry import registry
from automation.rules.fields import FIELDS
from automation.rules.operators import OPERATORS


class ContextFieldSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField()
    group = serializers.CharField()
    description = serializers.CharField()
    sample = serializers.JSONField(help_text="A value such as it can have.")
    fallback = serializers.CharField(help_text="What templates show where the value is missing.")
    choices = serializers.ListField(child=serializers.CharField(), help_text="The only values, where there are such.")
    operators = serializers.ListField(child=serializers.CharField(), help_text="The operators that fit its type.")


class OperatorSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    value_kind = serializers.CharField(help_text="What a rule's value has to be.")


class ContextFieldsSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    fields = ContextFieldSerializer(many=True)  # type: ignore[assignment]
    operators = OperatorSerializer(many=True)


class ContextFieldsView(APIView):
    """Every field of the context, with the operators that fit it. An invitee's answers are `custom_{key}`."""

    @extend_schema(
        operation_id="workflows_context_fields",
        summary="List context fields and operators",
        tags=["reference"],
        responses=ContextFieldsSerializer,
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        fields = [
            {
                "name": field.name,
                "type": field.type.value,
                "group": field.group.value,
                "description": field.description,
                "sample": field.sample,
                "fallback": field.fallback,
                "choices": list(field.choices),
                "operators": [operator.name for operator in OPERATORS.values() if operator.fits(field.type)],
            }
            for field in FIELDS.values()
        ]
        operators = [
            {"name": operator.name, "label": operator.label, "value_kind": operator.value_kind.value}
            for operator in OPERATORS.values()
        ]
        return Response({"count": len(fields), "fields": fields, "operators": operators})


class ActionFieldSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="A field of the action.")
    label = serializers.CharField()  # type: ignore[assignment]
    kind = serializers.CharField(help_text="text, template, html, email, phone, url, json, secret or choice.")
    required = serializers.BooleanField()  # type: ignore[assignment]
    help = serializers.CharField()
    choices = serializers.DictField(child=serializers.CharField())


class RetryScheduleSerializer(serializers.Serializer[Any]):
    initial_seconds = serializers.FloatField()
    factor = serializers.FloatField()
    maximum_seconds = serializers.FloatField(allow_null=True)
    attempts = serializers.IntegerField(help_text="0: without end.")


class ActionTypeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="The value of `action_type`.")
    label = serializers.CharField()  # type: ignore[assignment]
    description = serializers.CharField()
    activity = serializers.CharField(help_text="The name of its Celery task.")
    fields = ActionFieldSerializer(many=True)  # type: ignore[assignment]
    timeout_seconds = serializers.FloatField()
    retry = RetryScheduleSerializer()


class ActionTypesSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    action_types = ActionTypeSerializer(many=True)


class ActionTypesView(APIView):
    """Every kind of action, with the fields that it uses and how it is retried."""

    @extend_schema(
        operation_id="workflows_action_types",
        summary="List action types",
        tags=["reference"],
        responses=ActionTypesSerializer,
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        types = [action_type.describe() for action_type in registry.types()]
        return Response({"count": len(types), "action_types": types})
