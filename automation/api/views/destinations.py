"""Where actions call, host by host: circuits, rates, and the calls that wait or have failed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from automation.api.views.base import OwnedView, caller
from automation.models import CircuitState, Destination
from automation.services import destinations


class CauseSerializer(serializers.Serializer[Any]):
    """The calls that wait or have failed for one reason."""

    cause = serializers.CharField(help_text="'HTTP 503', 'no answer'; empty for those that wait for their turn only.")
    waiting = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Those that can be replayed.")
    since = serializers.DateTimeField()
    latest = serializers.DateTimeField()
    example = serializers.CharField()


class DestinationSerializer(serializers.ModelSerializer[Destination]):
    """A host that something has been wrong with, or that has a rate. An empty host is all of them together."""

    waiting = serializers.IntegerField(read_only=True, help_text="Calls that wait or are being tried again.")
    failed = serializers.IntegerField(read_only=True, help_text="Calls that have failed for good.")

    class Meta:
        model = Destination
        fields: tuple[str, ...] = (
            *("id", "organizer", "host", "state", "failures", "opened_at", "probe_at", "mended_at"),
            *("last_cause", "last_message", "rate", "waiting", "failed"),
        )
        read_only_fields: tuple[str, ...] = fields


class DestinationDetailSerializer(DestinationSerializer):
    """With its calls, grouped by what was wrong."""

    causes = serializers.SerializerMethodField()

    class Meta(DestinationSerializer.Meta):
        fields = (*DestinationSerializer.Meta.fields, "causes")
        read_only_fields = fields

    @extend_schema_field(CauseSerializer(many=True))
    def get_causes(self, destination: Destination) -> Any:
        return CauseSerializer(destinations.causes(destination), many=True).data


class RateSerializer(serializers.Serializer[Any]):
    """A rate for a host."""

    host = serializers.CharField(
        max_length=270, required=False, allow_blank=True, default="", help_text="Empty: all hosts together."
    )
    rate = serializers.CharField(
        max_length=20, allow_blank=True, help_text="'60/min' (s, min, h or d), 'off', or empty for the settings' rate."
    )


class ReplaySerializer(serializers.Serializer[Any]):
    """Which failed calls."""

    cause = serializers.CharField(required=False, allow_blank=True, default="", max_length=100, help_text="Empty: all.")


class ReplayedSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="Calls that are being made again, a batch at a time.")


class DestinationFilter(django_filters.FilterSet):
    state = django_filters.MultipleChoiceFilter(choices=CircuitState.choices)

    class Meta:
        model = Destination
        fields = ("host",)


@extend_schema_view(
    list=extend_schema(summary="List destinations"),
    retrieve=extend_schema(summary="Get a destination with its calls by cause"),
)
@extend_schema(tags=["destinations"])
class DestinationViewSet(
    OwnedView[Destination], mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Destination]
):
    """The hosts that actions call. After failures in a row, what calls a host waits until it answers again."""

    queryset = Destination.objects.all()
    filterset_class = DestinationFilter
    search_fields = ("host", "last_cause", "last_message")
    ordering_fields = ("host", "state", "failures", "opened_at", "mended_at")
    ordering = ("host",)

    def get_queryset(self) -> QuerySet[Destination]:
        return destinations.with_counts(super().get_queryset())

    def get_serializer_class(self) -> Any:
        return DestinationSerializer if self.action == "list" else DestinationDetailSerializer

    @extend_schema(
        summary="Give a host a rate",
        request=RateSerializer,
        responses={200: DestinationDetailSerializer},
        examples=[
            OpenApiExample("At most one a second", {"host": "hooks.example.com", "rate": "60/min"}, request_only=True)
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Calls over the rate wait for their turn, and do not fail."""
        data = self.read(RateSerializer)
        row = destinations.set_rate(caller(request), data["host"], data["rate"], by=caller(request))
        return self._answer(row.pk)

    @extend_schema(summary="Replay failed calls", request=ReplaySerializer, responses={202: ReplayedSerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: UUID) -> Response:
        """For when the host has been mended: every failed call, or those of one cause, is made again, with the same
        idempotency key."""
        count = destinations.replay(self.get_object().pk, self.read(ReplaySerializer)["cause"])
        return Response({"count": count}, status=status.HTTP_202_ACCEPTED)

    @extend_schema(summary="Close the circuit", request=None, responses=DestinationDetailSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: UUID) -> Response:
        """What waits goes on at once. If the host still fails, the circuit opens again."""
        return self._answer(destinations.close(self.get_object().pk, by=caller(request)).pk)

    def _answer(self, id: UUID) -> Response:
        row = self.get_queryset().get(pk=id)
        return Response(DestinationDetailSerializer(row, context=self.get_serializer_context()).data)
