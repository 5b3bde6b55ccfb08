"""Paths under `/api/v1/`."""

from __future__ import annotations

from django.urls import include, path
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from automation.api.docs import docs
from automation.api.views.auth import TokenView
from automation.api.views.bookings import BookingViewSet
from automation.api.views.event_types import EventTypeViewSet
from automation.api.views.executions import ExecutionViewSet, StepsView
from automation.api.views.health import HealthView
from automation.api.views.insight import BacktestView, DuplicateView, ExecutionSummaryView
from automation.api.views.reference import ActionTypesView, ContextFieldsView
from automation.api.views.trials import TestView, ValidateView
from automation.api.views.versions import DraftView, PublishView, RollBackView, VersionsView, VersionView
from automation.api.views.workflows import ActionsView, ActionView, WorkflowViewSet

app_name = "api"

router = SimpleRouter(use_regex_path=False)
router.register("event-types", EventTypeViewSet, basename="event-type")
router.register("bookings", BookingViewSet, basename="booking")
router.register("executions", ExecutionViewSet, basename="execution")
router.register("workflows", WorkflowViewSet, basename="workflow")

urlpatterns = [
    path("auth/token/", TokenView.as_view(), name="token"),
    path("workflows/executions/", ExecutionViewSet.as_view({"get": "list"}), name="workflow-executions"),
    path("workflows/context-fields/", ContextFieldsView.as_view(), name="context-fields"),
    path("workflows/action-types/", ActionTypesView.as_view(), name="action-types"),
    path("workflows/<uuid:pk>/actions/", ActionsView.as_view(), name="workflow-actions"),
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
    path("executions/<uuid:pk>/steps/", StepsView.as_view(), name="execution-steps"),
    path("health/", HealthView.as_view(), name="health"),
    path("schema/", extend_schema(exclude=True)(SpectacularAPIView).as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("", include(router.urls)),
]
