"""Paths under `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from automation.api.docs import DocumentView, docs
from automation.api.views.audit import AuditView
from automation.api.views.auth import TokenView
from automation.api.views.booking_insight import ExplainView, MoveView, SendNowView, SkipView, TimelineView
from automation.api.views.bookings import BookingViewSet
from automation.api.views.callbacks import CallbackView
from automation.api.views.definitions import DefinitionsView, OneDefinitionView, StartView
from automation.api.views.destinations import DestinationViewSet
from automation.api.views.event_types import EventTypeViewSet
from automation.api.views.executions import ExecutionViewSet, StepsView
from automation.api.views.gallery import CreateFromView, TemplateViewSet
from automation.api.views.health import HealthView
from automation.api.views.inbound import EventViewSet, InboundView, SourceViewSet
from automation.api.views.insight import BacktestView, DuplicateView, ExecutionSummaryView
from automation.api.views.notifications import NotificationViewSet, PreferenceViewSet, SuppressionViewSet
from automation.api.views.operations import AlertsView, WorkersView
from automation.api.views.performance import PerformanceView
from automation.api.views.portability import BulkView, ExportAllView, ExportView, ImportView
from automation.api.views.reference import ActionTypesView, ContextFieldsView
from automation.api.views.trials import (
    BulkTestResultsView,
    BulkTestStopView,
    BulkTestsView,
    BulkTestView,
    TestView,
    ValidateView,
)
from automation.api.views.versions import DraftView, PublishView, RollBackView, VersionsView, VersionView
from automation.api.views.workflows import ActionsView, ActionView, ReorderView, WorkflowViewSet

app_name = "api"

router = SimpleRouter(use_regex_path=False)
router.register("event-types", EventTypeViewSet, basename="event-type")
router.register("bookings", BookingViewSet, basename="booking")
router.register("destinations", DestinationViewSet, basename="destination")
router.register("events", EventViewSet, basename="event")
router.register("inbound-sources", SourceViewSet, basename="inbound-source")
router.register("executions", ExecutionViewSet, basename="execution")
router.register("notifications", NotificationViewSet, basename="notification")
router.register("notification-preferences", PreferenceViewSet, basename="notification-preference")
router.register("suppressions", SuppressionViewSet, basename="suppression")
router.register("workflows", WorkflowViewSet, basename="workflow")

urlpatterns = [
    path("callbacks/<slug:provider>/", CallbackView.as_view(), name="callback"),
    path("auth/token/", TokenView.as_view(), name="token"),
    path("workflows/executions/", ExecutionViewSet.as_view({"get": "list"}), name="workflow-executions"),
    path("workflows/context-fields/", ContextFieldsView.as_view(), name="context-fields"),
    path("workflows/action-types/", ActionTypesView.as_view(), name="action-types"),
    path("workflows/templates/", TemplateViewSet.as_view({"get": "list", "post": "create"}), name="templates"),
    path("workflows/templates/create-from/", CreateFromView.as_view(), name="template-create-from"),
    path(
        "workflows/templates/<uuid:pk>/",
        TemplateViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        name="template",
    ),
    path("workflows/export/", ExportAllView.as_view(), name="workflows-export"),
    path("workflows/import/", ImportView.as_view(), name="workflows-import"),
    path("workflows/bulk/", BulkView.as_view(), name="workflows-bulk"),
    path("workflows/<uuid:pk>/export/", ExportView.as_view(), name="workflow-export"),
    path("workflows/performance-stats/", PerformanceView.as_view(), name="performance-stats"),
    path("workflows/<uuid:pk>/actions/reorder/", ReorderView.as_view(), name="workflow-actions-reorder"),
    path("workflows/<uuid:pk>/actions/", ActionsView.as_view(), name="workflow-actions"),
    path("workflows/bulk-test/", BulkTestsView.as_view(), name="bulk-tests"),
    path("workflows/bulk-test/<uuid:pk>/", BulkTestView.as_view(), name="bulk-test"),
    path("workflows/bulk-test/<uuid:pk>/results/", BulkTestResultsView.as_view(), name="bulk-test-results"),
    path("workflows/bulk-test/<uuid:pk>/stop/", BulkTestStopView.as_view(), name="bulk-test-stop"),
    path("workflows/<uuid:pk>/test/", TestView.as_view(), name="workflow-test"),
    path("workflows/<uuid:pk>/validate/", ValidateView.as_view(), name="workflow-validate"),
    path("workflows/<uuid:pk>/execution-summary/", ExecutionSummaryView.as_view(), name="workflow-execution-summary"),
    path("workflows/<uuid:pk>/duplicate/", DuplicateView.as_view(), name="workflow-duplicate"),
    path("workflows/<uuid:pk>/backtest/", BacktestView.as_view(), name="workflow-backtest"),
    path("workflows/<uuid:pk>/draft/", DraftView.as_view(), name="workflow-draft"),
    path("workflows/<uuid:pk>/publish/", PublishView.as_view(), name="workflow-publish"),
    path("workflows/<uuid:pk>/versions/", VersionsView.as_view(), name="workflow-versions"),
    path("workflows/<uuid:pk>/versions/<int:number>/", VersionView.as_view(), name="workflow-version"),
    path("workflows/<uuid:pk>/versions/<int:number>/roll-back/", RollBackView.as_view(), name="workflow-roll-back"),
    path("workflows/actions/<uuid:pk>/", ActionView.as_view(), name="workflow-action"),
    path("bookings/<uuid:pk>/explain/", ExplainView.as_view(), name="booking-explain"),
    path("bookings/<uuid:pk>/timeline/", TimelineView.as_view(), name="booking-timeline"),
    path("bookings/<uuid:pk>/timeline/<uuid:execution_id>/skip/", SkipView.as_view(), name="booking-skip"),
    path("bookings/<uuid:pk>/timeline/<uuid:execution_id>/send-now/", SendNowView.as_view(), name="booking-send-now"),
    path("bookings/<uuid:pk>/timeline/<uuid:execution_id>/move/", MoveView.as_view(), name="booking-move"),
    path("definitions/", DefinitionsView.as_view(), name="definitions"),
    path("definitions/<str:name>/", OneDefinitionView.as_view(), name="definition"),
    path("definitions/<str:name>/start/", StartView.as_view(), name="definition-start"),
    path("executions/<uuid:pk>/steps/", StepsView.as_view(), name="execution-steps"),
    path("audit/", AuditView.as_view(), name="audit"),
    path("alerts/", AlertsView.as_view(), name="alerts"),
    path("workers/", WorkersView.as_view(), name="workers"),
    path("inbound/<uuid:source>/", InboundView.as_view(), name="inbound"),
    path("health/", HealthView.as_view(), name="health"),
    path("schema/", DocumentView.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("", include(router.urls)),
]
