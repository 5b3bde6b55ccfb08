"""What operators look at: worker nodes, and alerts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import django_filters
from django.conf import settings
from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response

from automation import clock
from automation.api.filters import MomentFilter
from automation.api.views.base import OwnedView, caller
from automation.models import Alert, Severity, WorkerHeartbeat


class WorkerSerializer(serializers.ModelSerializer[WorkerHeartbeat]):
    """A worker node. It is alive while its heartbeats come."""

    queues = serializers.ListField(child=serializers.CharField(), read_only=True)
    alive = serializers.SerializerMethodField()

    class Meta:
        model = WorkerHeartbeat
        fields = (
            *("id", "node", "hostname", "pid", "queues", "concurrency"),
            *("alive", "started_at", "seen_at", "stopped_at"),
        )
        read_only_fields = fields

    def get_alive(self, worker: WorkerHeartbeat) -> bool:
        return worker.stopped_at is None and worker.seen_at >= _alive_since()


class WorkerFilter(django_filters.FilterSet):
    alive = django_filters.BooleanFilter(method="filter_alive", label="Only those alive, or only those gone.")

    class Meta:
        model = WorkerHeartbeat
        fields = ("node", "hostname")

    def filter_alive(self, rows: QuerySet[WorkerHeartbeat], name: str, value: bool) -> QuerySet[WorkerHeartbeat]:
        alive = Q(stopped_at=None, seen_at__gte=_alive_since())
        return rows.filter(alive) if value else rows.exclude(alive)


@extend_schema(tags=["operations"])
class WorkersView(mixins.ListModelMixin, OwnedView[WorkerHeartbeat]):
    """Worker nodes, for staff: which are alive, and which queues they serve."""

    permission_classes = (IsAdminUser,)
    queryset = WorkerHeartbeat.objects.all()
    serializer_class = WorkerSerializer
    filterset_class = WorkerFilter
    search_fields = ("node", "hostname")
    ordering_fields = ("node", "started_at", "seen_at")
    ordering = ("node", "-started_at")

    def get_queryset(self) -> QuerySet[WorkerHeartbeat]:
        return super().get_queryset().filter(namespace=settings.WORKFLOW_NAMESPACE)

    @extend_schema(operation_id="workers_list", summary="List worker nodes")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Nodes that ended stay listed for a day."""
        return self.list(request, *args, **kwargs)


class AlertSerializer(serializers.ModelSerializer[Alert]):
    open = serializers.SerializerMethodField()

    class Meta:
        model = Alert
        fields = (
            *("id", "kind", "severity", "message", "workflow", "execution"),
            *("open", "opened_at", "closed_at", "mailed_at"),
        )
        read_only_fields = fields

    def get_open(self, alert: Alert) -> bool:
        return alert.closed_at is None


class AlertFilter(django_filters.FilterSet):
    open = django_filters.BooleanFilter("closed_at", lookup_expr="isnull", label="Only open ones, or only closed.")
    severity = django_filters.MultipleChoiceFilter(choices=Severity.choices)
    workflow = django_filters.UUIDFilter("workflow_id")
    execution = django_filters.UUIDFilter("execution_id")
    opened_after = MomentFilter("opened_at", lookup_expr="gte")
    opened_before = MomentFilter("opened_at", lookup_expr="lt")

    class Meta:
        model = Alert
        fields = ("kind",)


@extend_schema(tags=["operations"])
class AlertsView(mixins.ListModelMixin, OwnedView[Alert]):
    """Problems that want a person's attention: those of one's own workflows; all for staff."""

    queryset = Alert.objects.all()
    serializer_class = AlertSerializer
    filterset_class = AlertFilter
    search_fields = ("message", "kind")
    ordering_fields = ("opened_at", "closed_at", "severity")
    ordering = ("-opened_at",)

    def owned_by(self, user: Any) -> Q:
        return Q(workflow__organizer=caller(self.request))

    @extend_schema(operation_id="alerts_list", summary="List alerts")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """An alert is opened once per problem, and closed when the problem has ended."""
        return self.list(request, *args, **kwargs)


def _alive_since() -> dt.datetime:
    return clock.unmoved() - dt.timedelta(seconds=settings.DURABLE_WORKER_STALE)
