"""Messages to people: the log, what recipients want, and the addresses that get nothing more."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from automation.actions import suppressions
from automation.api import queries
from automation.api.filters import MomentFilter
from automation.api.serializers.notifications import (
    MessageTotalsQuerySerializer,
    MessageTotalsSerializer,
    NotificationDetailSerializer,
    NotificationSerializer,
    PreferenceSerializer,
    SuppressionSerializer,
)
from automation.api.views.base import OwnedView, caller
from automation.models import (
    Channel,
    NotificationLog,
    NotificationPreference,
    NotificationStatus,
    Suppression,
    SuppressionReason,
)
from automation.services import notifications, preferences

PREFERENCE_EXAMPLE = OpenApiExample(
    "Quiet at night",
    {
        "recipient": "jose@example.com",
        "timezone": "Europe/Madrid",
        "quiet_from": "21:00",
        "quiet_until": "08:00",
        "daily_limit": 3,
    },
    request_only=True,
)


class NotificationFilter(django_filters.FilterSet):
    status = django_filters.MultipleChoiceFilter(choices=NotificationStatus.choices)
    channel = django_filters.MultipleChoiceFilter(choices=Channel.choices)
    recipient = django_filters.CharFilter("recipient", lookup_expr="iexact")
    workflow = django_filters.UUIDFilter("workflow_id")
    booking = django_filters.UUIDFilter("booking_id")
    execution = django_filters.UUIDFilter("execution_id")
    created_after = MomentFilter("created_at", lookup_expr="gte")
    created_before = MomentFilter("created_at", lookup_expr="lt")
    sent_after = MomentFilter("sent_at", lookup_expr="gte")
    sent_before = MomentFilter("sent_at", lookup_expr="lt")

    class Meta:
        model = NotificationLog
        fields = ()


@extend_schema_view(
    list=extend_schema(summary="List messages, newest first"),
    retrieve=extend_schema(summary="Get a message with what became of it"),
)
@extend_schema(tags=["notifications"])
class NotificationViewSet(
    OwnedView[NotificationLog], mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[NotificationLog]
):
    """One row for each message and recipient, written before the message goes out."""

    queryset = NotificationLog.objects.all()
    filterset_class = NotificationFilter
    search_fields = ("recipient", "subject", "provider_id", "error")
    ordering_fields = ("created_at", "sent_at", "status", "channel", "recipient")
    ordering = ("-created_at",)

    @extend_schema(
        operation_id="notifications_totals",
        summary="Count messages by day, channel and status",
        parameters=[
            OpenApiParameter(
                "days", int, default=notifications.DAYS, description=f"1 to {notifications.MAX_DAYS}, today included."
            )
        ],
        filters=False,
        responses=MessageTotalsSerializer,
    )
    @action(detail=False, pagination_class=None, filter_backends=())
    def totals(self, request: Request) -> Response:
        """The messages that were made on each of the last days; those that are deleted by now (NOTIFICATION_KEEP_DAYS)
        count as well."""
        wanted = queries.read(request, MessageTotalsQuerySerializer)
        found = notifications.totals(caller(request), wanted["days"])
        return Response(MessageTotalsSerializer(found).data)

    def get_serializer_class(self) -> Any:
        return NotificationSerializer if self.action == "list" else NotificationDetailSerializer


class PreferenceFilter(django_filters.FilterSet):
    recipient = django_filters.CharFilter("recipient", lookup_expr="iexact")
    unsubscribed = django_filters.BooleanFilter("unsubscribed_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = NotificationPreference
        fields = ("timezone",)


@extend_schema_view(
    list=extend_schema(summary="List preferences"),
    create=extend_schema(summary="Note what a recipient wants", examples=[PREFERENCE_EXAMPLE]),
    retrieve=extend_schema(summary="Get preferences"),
    partial_update=extend_schema(summary="Change preferences"),
    destroy=extend_schema(summary="Forget preferences"),
)
@extend_schema(tags=["notifications"])
class PreferenceViewSet(
    OwnedView[NotificationPreference],
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    GenericViewSet[NotificationPreference],
):
    """What a recipient, known by address, wants from this organizer: when, how many a day, or nothing at all."""

    queryset = NotificationPreference.objects.all()
    serializer_class = PreferenceSerializer
    filterset_class = PreferenceFilter
    search_fields = ("recipient",)
    ordering_fields = ("recipient", "unsubscribed_at", "timezone")
    ordering = ("recipient",)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Each recipient has one set of preferences."""
        made = preferences.create(caller(request), by=caller(request), **self.read(PreferenceSerializer))
        return Response(self.get_serializer(made).data, status.HTTP_201_CREATED)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Somebody who has unsubscribed is subscribed again by nobody else: 409."""
        preference = self.get_object()
        changes = self.read(PreferenceSerializer, instance=preference, partial=True)
        return Response(self.get_serializer(preferences.update(preference.pk, by=caller(request), **changes)).data)

    def perform_destroy(self, instance: NotificationPreference) -> None:
        preferences.delete(instance, by=caller(self.request))


class SuppressionFilter(django_filters.FilterSet):
    recipient = django_filters.CharFilter("recipient", lookup_expr="iexact")
    reason = django_filters.MultipleChoiceFilter(choices=SuppressionReason.choices)
    in_force = django_filters.BooleanFilter("lifted_at", lookup_expr="isnull", label="Whether it has not been lifted.")

    class Meta:
        model = Suppression
        fields = ("channel",)


@extend_schema_view(
    list=extend_schema(summary="List suppressed addresses, newest first"),
    create=extend_schema(summary="Suppress an address"),
    retrieve=extend_schema(summary="Get a suppressed address"),
    destroy=extend_schema(summary="Lift a suppression"),
)
@extend_schema(tags=["notifications"])
class SuppressionViewSet(
    OwnedView[Suppression],
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    GenericViewSet[Suppression],
):
    """Addresses from which messages came back, or whose owners complained. Lifting keeps the row, with its time."""

    queryset = Suppression.objects.all()
    serializer_class = SuppressionSerializer
    filterset_class = SuppressionFilter
    search_fields = ("recipient", "detail")
    ordering_fields = ("created_at", "lifted_at", "recipient", "reason")
    ordering = ("-created_at",)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """An address that is on the list already keeps its first reason."""
        made = preferences.suppress(caller(request), by=caller(request), **self.read(SuppressionSerializer))
        return Response(self.get_serializer(made).data, status.HTTP_201_CREATED)

    def perform_destroy(self, instance: Suppression) -> None:
        suppressions.lift(Suppression.objects.filter(pk=instance.pk), by=caller(self.request))
