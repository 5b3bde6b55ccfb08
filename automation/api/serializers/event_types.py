"""Event types: what an organizer offers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automation.api.serializers.fields import ChoiceField
from automation.models import EventType

MAX_DURATION = 7 * 24 * 60


class EventTypeSerializer(serializers.ModelSerializer[EventType]):
    """An event type; a name and a duration suffice to make one."""

    serializer_choice_field = ChoiceField
    duration = serializers.IntegerField(min_value=1, max_value=MAX_DURATION, help_text="Minutes, up to a week.")
    max_attendees = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)
    slug = serializers.SlugField(
        max_length=200, required=False, help_text="In links; made from the name where none is given."
    )

    class Meta:
        model = EventType
        fields = (
            "id",
            "organizer",
            "name",
            "slug",
            "description",
            "duration",
            "location_type",
            "max_attendees",
            "is_active",
            "created_at",
        )
        read_only_fields = ("id", "organizer", "created_at")
        validators: list[Any] = []  # the slug is checked below: the organizer is not in the body

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A slug is unique per organizer: the owner of the row at hand, or the caller."""
        if slug := attrs.get("slug"):
            organizer_id = self.instance.organizer_id if self.instance else self.context["request"].user.pk
            taken = EventType.objects.filter(organizer_id=organizer_id, slug=slug)
            if self.instance:
                taken = taken.exclude(pk=self.instance.pk)
            if taken.exists():
                raise serializers.ValidationError({"slug": f"Another event type of yours has the slug {slug!r}."})
        return attrs
