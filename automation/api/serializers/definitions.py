"""Python workflows as the API shows them, and what they are started and steered with."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automation.services import steering


class ParameterSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField(help_text="The annotation, as Python writes it.")
    required = serializers.BooleanField()  # type: ignore[assignment]
    default = serializers.JSONField(allow_null=True)


class MessageSerializer(serializers.Serializer[Any]):
    """A signal, a query or an update that a workflow's class declares."""

    name = serializers.CharField()
    description = serializers.CharField()
    parameters = ParameterSerializer(many=True)


class DefinitionSerializer(serializers.Serializer[Any]):
    """A workflow that code defines."""

    name = serializers.CharField(help_text="Its registered name.")
    domain = serializers.CharField()
    summary = serializers.CharField(help_text="The first paragraph of its docstring.")
    queue = serializers.CharField(help_text="Where it runs unless the start says otherwise.")
    parameters = ParameterSerializer(many=True)
    signals = MessageSerializer(many=True)
    queries = MessageSerializer(many=True)
    updates = MessageSerializer(many=True)


class DefinitionsSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    definitions = DefinitionSerializer(many=True)


class StartSerializer(serializers.Serializer[Any]):
    """What a workflow is started with."""

    id = serializers.CharField(
        required=False, allow_blank=True, max_length=255, default="",
        help_text="Your own id of it: while an execution with this id is open, it is not started again.",
    )  # fmt: skip
    input = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False, default=dict, help_text="Parameters by name."
    )
    queue = serializers.CharField(required=False, allow_blank=True, max_length=100, default="")


class SendSerializer(serializers.Serializer[Any]):
    """A signal or a query."""

    name = serializers.CharField(max_length=200)
    args = serializers.ListField(
        child=serializers.JSONField(allow_null=True), required=False, default=list, help_text="Arguments in order."
    )


class UpdateSerializer(SendSerializer):
    """An update."""

    id = serializers.CharField(
        required=False, allow_blank=True, max_length=200, default="",
        help_text="Sent again with the same id, it is one update: ask again to go on waiting.",
    )  # fmt: skip
    wait_seconds = serializers.FloatField(
        required=False, default=steering.UPDATE_WAIT, min_value=0, max_value=steering.UPDATE_WAIT_MAX,
        help_text="How long to wait for its result.",
    )  # fmt: skip


class QueryResultSerializer(serializers.Serializer[Any]):
    result = serializers.JSONField(allow_null=True)


class UpdateResultSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    stage = serializers.ChoiceField(choices=["admitted", "accepted", "completed"])
    result = serializers.JSONField(allow_null=True, help_text="Null until it is completed.")


class RestartSerializer(serializers.Serializer[Any]):
    """How an execution begins anew."""

    from_step = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1,
        help_text="Copy the steps before this one (a step's seq); without it, it begins from the beginning.",
    )  # fmt: skip
    input = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False, allow_null=True, default=None,
        help_text="Other parameters, by name; those of before where there is none.",
    )  # fmt: skip
