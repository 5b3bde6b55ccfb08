"""Drafts, versions and what differs between them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automation.api.serializers import choices
from automation.api.serializers.workflows import WorkflowSerializer
from automation.models import Workflow, WorkflowDraft, WorkflowVersion
from automation.services import differences


class DraftContentSerializer(WorkflowSerializer):
    """The fields of a workflow that a draft holds; `actions`, where given, is the whole list."""

    also_read = frozenset(WorkflowSerializer.Meta.fields)

    class Meta(WorkflowSerializer.Meta):
        fields: tuple[str, ...] = (
            *("name", "description", "trigger", "event_types", "delay_minutes", "late_policy"),
            "actions",
        )
        read_only_fields: tuple[str, ...] = ()

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and "is_active" in data:
            message = "Switching a workflow on or off is no matter of versions: PATCH the workflow itself."
            raise serializers.ValidationError({"is_active": message})
        return super().to_internal_value(data)


class ChangeSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=choices.CHANGE_KINDS)
    path = serializers.CharField(help_text="`delay_minutes`, `actions[1]` or `actions[1].message`.")
    action = serializers.CharField(help_text="The action's name.")
    old = serializers.JSONField()
    new = serializers.JSONField()


class DraftSerializer(serializers.Serializer[Any]):
    """What is being worked on. Without a draft: what is live."""

    exists = serializers.BooleanField()
    revision = serializers.IntegerField(help_text="Grows with every edit; 0 without a draft.")
    base_version = serializers.IntegerField(help_text="The live version that the draft began with.")
    live_version = serializers.IntegerField()
    is_behind = serializers.BooleanField(help_text="What is live has been edited since the draft began.")
    updated_at = serializers.DateTimeField(allow_null=True)
    updated_by = serializers.CharField(allow_null=True)
    content = serializers.DictField(help_text="In the shape of a workflow's body.")
    changes = ChangeSerializer(many=True, help_text="From what is live to the draft.")


def draft_body(workflow: Workflow, live: dict[str, Any], draft: WorkflowDraft | None) -> dict[str, Any]:
    """A `DraftSerializer` body."""
    content = live if draft is None else draft.content
    return {
        "exists": draft is not None,
        "revision": 0 if draft is None else draft.revision,
        "base_version": workflow.version if draft is None else draft.base_version,
        "live_version": workflow.version,
        "is_behind": draft is not None and draft.base_version != workflow.version,
        "updated_at": None if draft is None else draft.updated_at.isoformat(),
        "updated_by": draft.updated_by.email if draft is not None and draft.updated_by is not None else None,
        "content": differences.shown(content),
        "changes": [change.as_dict() for change in differences.changes(live, content)],
    }


class PublishSerializer(serializers.Serializer[Any]):
    overwrite = serializers.BooleanField(
        required=False, default=False, help_text="Publish although what is live has been edited since."
    )
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=1_000)


class VersionSerializer(serializers.ModelSerializer[WorkflowVersion]):
    """A version as lists show it."""

    created_by = serializers.SerializerMethodField(help_text="Who made it, by email.")
    is_live = serializers.SerializerMethodField()
    changed = serializers.SerializerMethodField(help_text="What it changed, in short: `Mail: subject`, `+ Reminder`.")

    class Meta:
        model = WorkflowVersion
        fields: tuple[str, ...] = ("id", "number", "is_live", "note", "created_by", "created_at", "changed")
        read_only_fields: tuple[str, ...] = fields

    def get_created_by(self, version: WorkflowVersion) -> str | None:
        return version.created_by.email if version.created_by is not None else None

    def get_is_live(self, version: WorkflowVersion) -> bool:
        return version.number == version.workflow.version

    def get_changed(self, version: WorkflowVersion) -> list[str]:
        before = self.context.get("before", {}).get((version.workflow_id, version.number))
        return [] if before is None else differences.summary(differences.changes(before, version.snapshot))


class VersionDetailSerializer(VersionSerializer):
    """A version with all that it says, and how it differs from another."""

    content = serializers.SerializerMethodField(help_text="In the shape of a workflow's body.")
    changes = serializers.SerializerMethodField(help_text="From the one that `against` names to this one.")

    class Meta(VersionSerializer.Meta):
        fields = (*VersionSerializer.Meta.fields, "content", "changes")
        read_only_fields = fields

    def get_content(self, version: WorkflowVersion) -> dict[str, Any]:
        return differences.shown(version.snapshot)

    def get_changes(self, version: WorkflowVersion) -> list[dict[str, Any]]:
        against = self.context.get("against")
        return [] if against is None else [c.as_dict() for c in differences.changes(against, version.snapshot)]


class PublicationSerializer(serializers.Serializer[Any]):
    version = VersionSerializer()
    changes = ChangeSerializer(many=True)
