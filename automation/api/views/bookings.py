"""Bookings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from automation.api.filters import BookingFilter
from automation.api.serializers.bookings import (
    BookingChangeSerializer,
    BookingSerializer,
    CancelSerializer,
    RescheduleSerializer,
)
from automation.api.views.base import OwnedView, caller
from automation.models import Booking
from automation.services import bookings

CREATE_EXAMPLE = OpenApiExample(
    "The least that suffices",
    {
        "event_type": "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10",
        "invitee_name": "José Álvarez",
        "invitee_email": "jose@example.com",
        "start_time": "2026-03-29T09:30:00+02:00",
    },
    request_only=True,
)
RESCHEDULE_EXAMPLE = OpenApiExample("A new time", {"start_time": "2026-03-30T10:00:00Z"}, request_only=True)
CANCEL_EXAMPLE = OpenApiExample("Cancel", {"reason": "Ill"}, request_only=True)


@extend_schema_view(
    list=extend_schema(summary="List bookings, latest start first"),
    create=extend_schema(summary="Make a booking", examples=[CREATE_EXAMPLE]),
    retrieve=extend_schema(summary="Get a booking"),
    partial_update=extend_schema(summary="Change a booking's details", request=BookingChangeSerializer),
)
@extend_schema(tags=["bookings"])
class BookingViewSet(
    OwnedView[Booking],
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    GenericViewSet[Booking],
):
    """Meetings. What happens to one triggers workflows, whichever way it comes in."""

    queryset = Booking.objects.select_related("event_type")
    serializer_class = BookingSerializer
    filterset_class = BookingFilter
    search_fields = ("invitee_name", "invitee_email", "invitee_phone", "event_type__name")
    ordering_fields = ("start_time", "end_time", "created_at", "invitee_name", "status")
    ordering = ("-start_time",)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The end follows from the event type's duration, the organizer from its owner."""
        booking = bookings.create(**self.read(BookingSerializer), **self._origin())
        return self._answer(booking, status.HTTP_201_CREATED)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The time and the status have operations of their own."""
        booking = self.get_object()
        changes = self.read(BookingChangeSerializer, instance=booking, partial=True)
        return self._answer(bookings.update(booking.pk, **changes, **self._origin()))

    @extend_schema(summary="Reschedule", request=RescheduleSerializer, examples=[RESCHEDULE_EXAMPLE])
    @action(detail=True, methods=["post"])
    def reschedule(self, request: Request, pk: UUID) -> Response:
        """What is planned around the meeting moves with it."""
        booking = self.get_object()
        times = self.read(RescheduleSerializer)
        return self._answer(bookings.reschedule(booking.pk, **times, **self._origin()))

    @extend_schema(summary="Cancel", request=CancelSerializer, examples=[CANCEL_EXAMPLE])
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: UUID) -> Response:
        """What is planned before and after the meeting is stopped."""
        booking = self.get_object()
        reason = self.read(CancelSerializer)["reason"]
        return self._answer(bookings.cancel(booking.pk, reason, **self._origin()))

    @extend_schema(summary="Mark as completed", request=None)
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: UUID) -> Response:
        """The meeting took place."""
        return self._answer(bookings.complete(self.get_object().pk, **self._origin()))

    @extend_schema(summary="Mark as no-show", request=None)
    @action(detail=True, methods=["post"], url_path="no-show")
    def no_show(self, request: Request, pk: UUID) -> Response:
        """The invitee did not come."""
        return self._answer(bookings.no_show(self.get_object().pk, **self._origin()))

    def _origin(self) -> dict[str, Any]:
        """Who did it, and the way in."""
        return {"actor": caller(self.request).email, "source": "api"}

    def _answer(self, booking: Booking, code: int = status.HTTP_200_OK) -> Response:
        return Response(BookingSerializer(booking, context=self.get_serializer_context()).data, status=code)
