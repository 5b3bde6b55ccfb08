"""Event types."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from automation.api.filters import EventTypeFilter
from automation.api.serializers.event_types import EventTypeSerializer
from automation.api.views.base import OwnedView, caller
from automation.models import EventType
from automation.services import event_types

EXAMPLE = OpenApiExample("The least that suffices", {"name": "Discovery Call", "duration": 30}, request_only=True)


@extend_schema_view(
    list=extend_schema(summary="List event types"),
    create=extend_schema(summary="Make an event type", examples=[EXAMPLE]),
    retrieve=extend_schema(summary="Get an event type"),
    update=extend_schema(summary="Replace an event type", examples=[EXAMPLE]),
    partial_update=extend_schema(summary="Change an event type"),
    destroy=extend_schema(summary="Delete an event type that nothing depends on"),
)
@extend_schema(tags=["event types"])
class EventTypeViewSet(OwnedView[EventType], ModelViewSet[EventType]):
    """What an organizer offers: 'Discovery Call, 30 minutes'."""

    queryset = EventType.objects.all()
    serializer_class = EventTypeSerializer
    filterset_class = EventTypeFilter
    search_fields = ("name", "slug", "description")
    ordering_fields = ("name", "duration", "created_at")
    ordering = ("name",)

    def perform_create(self, serializer: BaseSerializer[EventType]) -> None:
        serializer.instance = event_types.create(
            caller(self.request), by=caller(self.request), **serializer.validated_data
        )

    def perform_update(self, serializer: BaseSerializer[EventType]) -> None:
        assert serializer.instance is not None
        serializer.instance = event_types.update(
            serializer.instance, by=caller(self.request), **serializer.validated_data
        )

    def perform_destroy(self, instance: EventType) -> None:
        event_types.delete(instance.pk, by=caller(self.request))
