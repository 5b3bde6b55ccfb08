"""Trying workflows, and validating them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import mixins, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from automation import clock
from automation.api.serializers.executions import ExecutionDetailSerializer
from automation.api.serializers.trials import (
    BulkTestRequestSerializer,
    BulkTestResultSerializer,
    BulkTestSerializer,
    DraftChoiceSerializer,
    TestRequestSerializer,
    TrialSerializer,
    ValidationSerializer,
)
from automation.api.views.base import OwnedView, caller
from automation.errors import NotFound
from automation.models import Booking, BulkTest, BulkTestResult, ExecutionStatus, TestType, Workflow
from automation.services import bulk_tests, trials, workflow_validation

TEST_EXAMPLES = [
    OpenApiExample("An invented booking", {"test_type": "mock_data"}, request_only=True),
    OpenApiExample(
        "An invented booking, as you want it",
        {
            "test_type": "mock_data",
            "sample": {
                "invitee_email": "jose@enterprise.com",
                "start_time": "2027-03-30T09:30:00Z",
                "custom_budget": 5,
            },
            "at": "2027-03-29T09:30:00Z",
        },
        request_only=True,
    ),
    OpenApiExample(
        "A booking that there is",
        {"test_type": "real_data", "booking_id": "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10"},
        request_only=True,
    ),
    OpenApiExample(
        "For real, and to me",
        {
            "test_type": "live_test",
            "booking_id": "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10",
            "live_test": True,
            "send_to_me": True,
        },
        request_only=True,
    ),
]
VALIDATION_EXAMPLE = OpenApiExample(
    "A workflow that works, and may be meant otherwise",
    {
        "valid": True,
        "errors": [],
        "warnings": [
            {
                "code": "phone_not_asked_for",
                "path": "actions[1].recipient",
                "message": "The invitee's phone number is needed, and a booking can be made without one; the action "
                "then fails.",
                "suggestion": "Add the condition has_phone is true.",
                "line": None,
            }
        ],
        "runtime_checks": [{"name": "email", "status": "ok", "message": "The mail server answers."}],
        "overall_status": "warnings",
    },
    response_only=True,
)


class OneWorkflowView(OwnedView[Workflow], GenericAPIView[Workflow]):
    """The views below `workflows/{id}/` that look at one workflow as a whole."""

    queryset = Workflow.objects.select_related("organizer")
    pagination_class = None
    filter_backends = ()


def booking_of(workflow: Workflow, id: UUID) -> Booking:
    """A booking of the workflow's organizer, with what a context needs. Raises NotFound."""
    booking = bookings_of(workflow).filter(pk=id).first()
    if booking is None:
        raise NotFound(f"There is no booking {id} of this workflow's organizer.")
    return booking


def bookings_of(workflow: Workflow) -> QuerySet[Booking]:
    return Booking.objects.filter(organizer=workflow.organizer_id).select_related("event_type", "organizer")


@extend_schema(tags=["workflows"])
class TestView(OneWorkflowView):
    """Try a workflow before people meet it."""

    __test__ = False  # no test of pytest's

    @extend_schema(
        operation_id="workflows_test",
        summary="Test a workflow",
        request=TestRequestSerializer,
        responses={
            200: OpenApiResponse(TrialSerializer, description="mock_data and real_data: what would happen."),
            202: OpenApiResponse(ExecutionDetailSerializer, description="live_test: the execution that was started."),
        },
        examples=TEST_EXAMPLES,
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """`mock_data` invents a booking and `real_data` takes one that there is: both answer at once with each
        action's conditions, rendered content, problems and time, and send nothing. `at` travels in time: what would be
        planned when, and what would have fired by then. `live_test` runs the workflow for real and answers 202 with
        the execution; `send_to_me` sends everything to you, and calls and changes nothing."""
        workflow = self.get_object()
        wanted = self.read(TestRequestSerializer)
        if wanted["test_type"] == TestType.LIVE_TEST:
            execution = trials.start_live(
                workflow,
                booking_of(workflow, wanted["booking_id"]),
                by=caller(request),
                draft=wanted["draft"],
                send_to_me=wanted["send_to_me"],
                skip_delays=wanted["skip_delays"],
            )
            body = ExecutionDetailSerializer(execution, context=self.get_serializer_context()).data
            return Response(body, status=status.HTTP_202_ACCEPTED)
        subject = trials.subject_of(workflow, draft=wanted["draft"])
        if wanted["test_type"] == TestType.MOCK_DATA:
            trial = trials.try_mock(subject, wanted.get("sample"), wanted["at"])
        else:
            trial = trials.try_real(subject, booking_of(workflow, wanted["booking_id"]), wanted["at"])
        return Response(trial.as_dict())


@extend_schema(tags=["workflows"])
class ValidateView(OneWorkflowView):
    """Whether a workflow can do what it is for."""

    @extend_schema(
        operation_id="workflows_validate",
        summary="Validate a workflow",
        request=DraftChoiceSerializer,
        responses=ValidationSerializer,
        examples=[VALIDATION_EXAMPLE],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Errors keep it from working, warnings may be meant: contradictions, rules that always hold, actions that are
        never reached, variables that say nothing at this trigger. Runtime checks look at the surroundings."""
        wanted = self.read(DraftChoiceSerializer)
        found = workflow_validation.validate(self.get_object(), draft=wanted["draft"], runtime=wanted["runtime"])
        return Response(found.as_dict())


class BulkTestQuery(OwnedView[BulkTest], GenericAPIView[BulkTest]):
    """Bulk tests are of the person who started them."""

    queryset = BulkTest.objects.all()
    serializer_class: Any = BulkTestSerializer

    def get_queryset(self) -> QuerySet[BulkTest]:
        return bulk_tests.with_progress(super().get_queryset())


@extend_schema(tags=["workflows"])
class BulkTestsView(BulkTestQuery):
    """Many workflows at once, with one invented booking each or with many that there are."""

    filterset_fields = ("test_type", "draft")
    search_fields = ("id",)
    ordering_fields = ("created_at",)
    ordering = ("-id",)

    @extend_schema(
        operation_id="workflows_bulk_test_list",
        summary="List bulk tests, newest first",
        responses=BulkTestSerializer(many=True),
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response([_progress(test) for test in page])

    @extend_schema(
        operation_id="workflows_bulk_test",
        summary="Test many workflows",
        request=BulkTestRequestSerializer,
        responses={
            200: OpenApiResponse(BulkTestSerializer, description="A few pairs: tried at once, with their results."),
            202: OpenApiResponse(BulkTestSerializer, description="Many: read its progress under its id."),
        },
        examples=[
            OpenApiExample("All active ones", {"test_type": "mock_data"}, request_only=True),
            OpenApiExample(
                "With the last bookings", {"test_type": "real_data", "last_bookings": 100}, request_only=True
            ),
        ],
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Up to 20 pairs of a workflow and a booking are tried at once (200); more run on the engine (202), survive
        its workers and can be stopped. Nothing is sent."""
        found = bulk_tests.start(caller(request), **self.read(BulkTestRequestSerializer))
        if isinstance(found, BulkTest):
            test = self.get_queryset().get(pk=found.pk)
            where = reverse("api:bulk-test", args=[test.pk])
            return Response(_progress(test), status=status.HTTP_202_ACCEPTED, headers={"Location": where})
        passed = sum(result.passed for result in found.results)
        return Response(
            {
                "id": None,
                "test_type": found.test_type,
                "status": ExecutionStatus.COMPLETED,
                "total": len(found.results),
                "done": len(found.results),
                "passed": passed,
                "failed": len(found.results) - passed,
                "created_at": clock.now(),
                "execution_id": None,
                "results": BulkTestResultSerializer(found.results, many=True).data,
            }
        )


@extend_schema(tags=["workflows"])
class BulkTestView(BulkTestQuery):
    """One bulk test."""

    @extend_schema(operation_id="workflows_bulk_test_retrieve", summary="Get a bulk test's progress")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(_progress(self.get_object()))


@extend_schema(tags=["workflows"])
class BulkTestStopView(BulkTestQuery):
    """Ending a bulk test early."""

    @extend_schema(operation_id="workflows_bulk_test_stop", summary="Stop a bulk test", request=None)
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """What was tried stays."""
        test = self.get_object()
        bulk_tests.stop(test)
        return Response(_progress(self.get_object()))


@extend_schema(tags=["workflows"])
class BulkTestResultsView(OwnedView[BulkTestResult], mixins.ListModelMixin, GenericAPIView[BulkTestResult]):
    """What came of each pair so far."""

    queryset = BulkTestResult.objects.all()
    serializer_class = BulkTestResultSerializer
    filterset_fields = ("passed", "workflow_id", "booking_id")
    search_fields = ("workflow_name",)
    ordering_fields = ("position", "workflow_name", "passed")
    ordering = ("position",)
    owner_lookup = "bulk_test__organizer"

    def get_queryset(self) -> QuerySet[BulkTestResult]:
        return super().get_queryset().filter(bulk_test=self.kwargs.get("pk"))

    @extend_schema(operation_id="workflows_bulk_test_results", summary="List a bulk test's results")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        user = caller(request)
        tests = BulkTest.objects.filter(pk=self.kwargs["pk"])
        if not (tests if user.is_staff else tests.filter(organizer=user)).exists():
            raise NotFound(f"There is no bulk test {self.kwargs['pk']}, or it belongs to somebody else.")
        return self.list(request)


def _progress(test: Any) -> dict[str, Any]:
    """A `BulkTestSerializer` body; `test` as `bulk_tests.with_progress` gives it."""
    return {
        "id": str(test.pk),
        "test_type": test.test_type,
        "status": bulk_tests.status_of(test, test.done),
        "total": test.total,
        "done": test.done,
        "passed": test.done - test.failed,
        "failed": test.failed,
        "created_at": test.created_at,
        "execution_id": str(test.execution_id) if test.execution_id else None,
    }
