"""Trying workflows, and validating them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from automation.api.serializers.executions import ExecutionDetailSerializer
from automation.api.serializers.trials import (
    DraftChoiceSerializer,
    TestRequestSerializer,
    TrialSerializer,
    ValidationSerializer,
)
from automation.api.views.base import OwnedView, caller
from automation.errors import NotFound
from automation.models import Booking, TestType, Workflow
from automation.services import trials, workflow_validation

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
