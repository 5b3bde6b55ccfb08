"""Events of other schedulers: where they come in, where from, and what became of them."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

import django_filters
from django.conf import settings
from django.http import RawPostDataException
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from automation.api.filters import MomentFilter
from automation.api.problems import TooLarge
from automation.api.serializers.inbound import (
    EventDetailSerializer,
    EventSerializer,
    NewSecretSerializer,
    ReceivedSerializer,
    RotateSerializer,
    SourceSerializer,
)
from automation.api.views.base import OwnedView, caller
from automation.models import InboundEvent, InboundSource, InboundStatus, SourceKind
from automation.services import inbound, inbound_sources

EXAMPLE = OpenApiExample(
    "Cal.com",
    {
        "name": "My Cal.com",
        "kind": "cal_com",
        "event_types": {"30min": "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10"},
    },
    request_only=True,
)


class InboundThrottle(SimpleRateThrottle):
    """INBOUND_RATE, for each source and address: a stranger does not use up a sender's."""

    scope = "inbound"

    def get_rate(self) -> str | None:
        rate: str = settings.INBOUND_RATE
        return None if rate == "off" else rate

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"throttle_inbound_{view.kwargs.get('source')}_{self.get_ident(request)}"


class InboundView(APIView):
    """Where another scheduler posts its events. The path names the source; the signature proves it."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (InboundThrottle,)
    checks_signature = True

    @extend_schema(
        operation_id="inbound_receive",
        summary="Receive an event of another scheduler",
        tags=["inbound"],
        request={"application/json": {"type": "object", "additionalProperties": True}},
        responses={
            200: ReceivedSerializer,
            202: OpenApiResponse(ReceivedSerializer, description="Stored; nothing has followed from it."),
        },
    )
    def post(self, request: Request, source: UUID, *args: Any, **kwargs: Any) -> Response:
        """Signed as the source's kind has it: `X-Cal-Signature-256`, `Calendly-Webhook-Signature`, or the
        `webhook-…` headers of Standard Webhooks. A repeated delivery changes nothing."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        event = inbound.receive(source, headers, _body(request))
        done = event.status == InboundStatus.PROCESSED
        answer = {"id": event.pk, "status": event.status, "note": event.note, "booking": event.booking_id}
        return Response(ReceivedSerializer(answer).data, status.HTTP_200_OK if done else status.HTTP_202_ACCEPTED)


def _body(request: Request) -> bytes:
    """The bytes that were signed; of at most API_MAX_BODY_BYTES."""
    limit: int = settings.API_MAX_BODY_BYTES
    raw = request._request
    try:
        body = raw.read(limit + 1)
    except RawPostDataException:
        body = raw.body
    if len(body) > limit:
        raise TooLarge(f"The request's body is longer than {limit} bytes.")
    return body


class SourceFilter(django_filters.FilterSet):
    kind = django_filters.MultipleChoiceFilter(choices=SourceKind.choices)

    class Meta:
        model = InboundSource
        fields = ("is_active",)


@extend_schema_view(
    list=extend_schema(summary="List sources"),
    create=extend_schema(summary="Make a source", examples=[EXAMPLE], responses={201: NewSecretSerializer}),
    retrieve=extend_schema(summary="Get a source"),
    partial_update=extend_schema(summary="Change a source"),
    destroy=extend_schema(summary="Delete a source with its events"),
)
@extend_schema(tags=["inbound"])
class SourceViewSet(
    OwnedView[InboundSource],
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    GenericViewSet[InboundSource],
):
    """Where events come from: Cal.com, Calendly, or anything that signs as Standard Webhooks has it."""

    queryset = InboundSource.objects.select_related("default_event_type")
    serializer_class = SourceSerializer
    filterset_class = SourceFilter
    search_fields = ("name",)
    ordering_fields = ("name", "created_at", "last_received_at")
    ordering = ("name",)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Its answer shows the secret, and the URL to give to the sender."""
        source, secret = inbound_sources.create(caller(request), by=caller(request), **self.read(SourceSerializer))
        return self._with_secret(source, secret, status.HTTP_201_CREATED)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Its kind stays, and its secret is rotated."""
        source = self.get_object()
        changes = self.read(SourceSerializer, instance=source, partial=True)
        return Response(self.get_serializer(inbound_sources.update(source, by=caller(request), **changes)).data)

    def perform_destroy(self, instance: InboundSource) -> None:
        inbound_sources.delete(instance, by=caller(self.request))

    @extend_schema(summary="Rotate the secret", request=RotateSerializer, responses=NewSecretSerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: UUID) -> Response:
        """Without a secret in the body one is made. The former one holds for `overlap_minutes` more."""
        source = self.get_object()
        data = self.read(RotateSerializer)
        overlap = dt.timedelta(minutes=data["overlap_minutes"])
        secret = inbound_sources.rotate(source, data["secret"], overlap=overlap, by=caller(request))
        return self._with_secret(self.get_object(), secret)

    def _with_secret(self, source: InboundSource, secret: str, code: int = status.HTTP_200_OK) -> Response:
        context = {**self.get_serializer_context(), "secret": secret}
        return Response(NewSecretSerializer(source, context=context).data, status=code)


class EventFilter(django_filters.FilterSet):
    source = django_filters.UUIDFilter("source_id")
    booking = django_filters.UUIDFilter("booking_id")
    status = django_filters.MultipleChoiceFilter(choices=InboundStatus.choices)
    received_after = MomentFilter("received_at", lookup_expr="gte")
    received_before = MomentFilter("received_at", lookup_expr="lt")

    class Meta:
        model = InboundEvent
        fields = ("type",)


@extend_schema_view(
    list=extend_schema(summary="List received events, newest first"),
    retrieve=extend_schema(summary="Get a received event with its body"),
)
@extend_schema(tags=["inbound"])
class EventViewSet(
    OwnedView[InboundEvent], mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[InboundEvent]
):
    """What other schedulers have sent, and what became of it."""

    queryset = InboundEvent.objects.select_related("source")
    owner_lookup = "source__organizer"
    filterset_class = EventFilter
    search_fields = ("type", "external_id", "note")
    ordering_fields = ("received_at", "occurred_at", "status", "type")
    ordering = ("-id",)

    def get_serializer_class(self) -> Any:
        return EventSerializer if self.action == "list" else EventDetailSerializer

    @extend_schema(summary="Process again", request=None, responses=EventDetailSerializer)
    @action(detail=True, methods=["post"])
    def process(self, request: Request, pk: UUID) -> Response:
        """For an event that failed or was ignored, once the reason in its note is mended. One that was processed stays
        as it is."""
        event = self.get_object()
        inbound.process(event.pk, again=True)
        return Response(EventDetailSerializer(self.get_object(), context=self.get_serializer_context()).data)
