"""A booking's timeline with its controls, and why workflows acted on it or not."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from automation import clock
from automation.api.serializers.booking_insight import (
    ExplanationSerializer,
    MoveSerializer,
    SendNowSerializer,
    SkipSerializer,
    TimelineSerializer,
)
from automation.api.views.base import OwnedView, caller
from automation.models import Booking
from automation.services import explain, planned, timeline

MOVE_EXAMPLE = OpenApiExample("Tomorrow morning", {"at": "2027-03-29T09:00:00+02:00"}, request_only=True)
SKIP_EXAMPLE = OpenApiExample("With a word", {"reason": "I have called them"}, request_only=True)

TIMELINE_EXAMPLE = OpenApiExample(
    "A reminder that is planned, and what is left of a workflow that has begun",
    {
        "booking_id": "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10",
        "now": "2027-03-27T08:00:00+00:00",
        "entries": [
            {
                "kind": "planned",
                "at": "2027-03-28T08:00:00+00:00",
                "status": "runs",
                "workflow_id": "0197f3c2-1111-7c44-9a51-2f0c8e6b7a10",
                "workflow_name": "Reminder",
                "execution_id": "0197f3c2-2222-7c44-9a51-2f0c8e6b7a10",
                "action_id": "0197f3c2-3333-7c44-9a51-2f0c8e6b7a10",
                "action": "Mail",
                "action_type": "send_email",
                "channel": "",
                "recipients": ["jose@enterprise.com"],
                "subject": "Discovery Call tomorrow",
                "reason": "",
                "actor": "",
                "changes": {},
                "set_by_hand": False,
                "has_begun": False,
                "after": [],
                "controls": ["skip", "send_now", "move"],
                "controls_note": "",
            },
            {
                "kind": "planned",
                "at": "2027-03-28T09:30:00+00:00",
                "status": "runs",
                "workflow_id": "0197f3c2-1111-7c44-9a51-2f0c8e6b7a11",
                "workflow_name": "Welcome",
                "execution_id": "0197f3c2-2222-7c44-9a51-2f0c8e6b7a11",
                "action_id": "0197f3c2-3333-7c44-9a51-2f0c8e6b7a11",
                "action": "What to bring",
                "action_type": "send_email",
                "channel": "",
                "recipients": ["jose@enterprise.com"],
                "subject": "What to bring",
                "reason": "",
                "actor": "",
                "changes": {},
                "set_by_hand": False,
                "has_begun": True,
                "after": ["Directions"],
                "controls": [],
                "controls_note": "Its turn comes after 'Directions'; then it waits 60 min, and can be skipped, sent "
                "now or moved. Cancelling the execution stops all that is left of it.",
            },
        ],
    },
    response_only=True,
)
EXPLAIN_EXAMPLE = OpenApiExample(
    "A rule that did not hold",
    {
        "booking_id": "0197f3c2-6d1e-7c44-9a51-2f0c8e6b7a10",
        "booking_status": "confirmed",
        "explained_at": "2027-03-27T08:00:00+00:00",
        "events": [
            {
                "trigger": "booking_created",
                "occurred_at": "2027-03-26T08:00:00+00:00",
                "source": "api",
                "processed_at": "2027-03-26T08:00:01+00:00",
                "note": "",
            }
        ],
        "workflows": [
            {
                "workflow_id": "0197f3c2-1111-7c44-9a51-2f0c8e6b7a10",
                "workflow_name": "For enterprises",
                "trigger": "booking_created",
                "is_active": True,
                "verdict": "stopped",
                "reasons": [
                    {
                        "code": "conditions",
                        "message": "Mail: invitee_domain equals 'enterprise.com' does not hold: it is 'other.com'.",
                        "details": {
                            "field": "invitee_domain",
                            "operator": "equals",
                            "expected": "enterprise.com",
                            "actual": "other.com",
                            "reason": None,
                        },
                    }
                ],
                "executions": [],
            }
        ],
    },
    response_only=True,
)


class OneBookingView(OwnedView[Booking], GenericAPIView[Booking]):
    queryset = Booking.objects.select_related("event_type", "organizer")
    pagination_class = None
    filter_backends = ()

    def told(self, booking: Booking) -> Response:
        """The booking's timeline."""
        entries = [entry.as_dict() for entry in timeline.timeline(booking)]
        return Response({"booking_id": str(booking.pk), "now": clock.now().isoformat(), "entries": entries})


@extend_schema(tags=["bookings"])
class TimelineView(OneBookingView):
    """What happened to a booking, which messages it led to, and which are planned."""

    @extend_schema(operation_id="bookings_timeline", summary="Get a booking's timeline", responses=TimelineSerializer)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """By time. What is planned shows what it would come to as things are, and what can be done about it."""
        return self.told(self.get_object())


@extend_schema(tags=["bookings"])
class SkipView(OneBookingView):
    """A planned execution is not to run, or an action that waits in one that has begun."""

    @extend_schema(
        operation_id="bookings_timeline_skip",
        summary="Skip what is planned",
        request=SkipSerializer,
        responses=TimelineSerializer,
        examples=[SKIP_EXAMPLE],
    )
    def post(self, request: Request, *args: Any, execution_id: UUID, **kwargs: Any) -> Response:
        """All of the execution's actions; when the meeting is moved, it is planned anew. Of an execution that has
        begun, those of its actions that wait for their time, or the one that is named; what follows them goes on. 409
        where nothing waits any more."""
        booking = self.get_object()
        given = self.read(SkipSerializer)
        planned.skip(booking, execution_id, by=caller(request).email, **given)
        return self.told(booking)


@extend_schema(tags=["bookings"])
class SendNowView(OneBookingView):
    """A planned execution is to run at once, or an action that waits in one that has begun."""

    @extend_schema(
        operation_id="bookings_timeline_send_now",
        summary="Send now what is planned",
        request=SendNowSerializer,
        responses=TimelineSerializer,
    )
    def post(self, request: Request, *args: Any, execution_id: UUID, **kwargs: Any) -> Response:
        """Its conditions are asked then, as ever; so are quiet hours, and whether its receiver answers. 409 where
        nothing waits any more."""
        booking = self.get_object()
        given = self.read(SendNowSerializer)
        planned.send_now(booking, execution_id, by=caller(request).email, **given)
        return self.told(booking)


@extend_schema(tags=["bookings"])
class MoveView(OneBookingView):
    """A planned execution is to run at another time, or an action that waits in one that has begun."""

    @extend_schema(
        operation_id="bookings_timeline_move",
        summary="Move what is planned",
        request=MoveSerializer,
        responses=TimelineSerializer,
        examples=[MOVE_EXAMPLE],
    )
    def post(self, request: Request, *args: Any, execution_id: UUID, **kwargs: Any) -> Response:
        """Whatever is edited in the workflow, the time stays; when the meeting is moved, it is planned anew. 409 where
        nothing waits any more."""
        booking = self.get_object()
        given = self.read(MoveSerializer)
        planned.move(booking, execution_id, by=caller(request).email, **given)
        return self.told(booking)


@extend_schema(tags=["bookings"])
class ExplainView(OneBookingView):
    """Why did it not send?"""

    @extend_schema(
        operation_id="bookings_explain",
        summary="Explain what workflows did about a booking",
        responses=ExplanationSerializer,
        examples=[EXPLAIN_EXAMPLE],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Every workflow considered, and exactly what stopped each that did not act: the switch, the event type, the
        time, the rule that did not hold and the value that it met."""
        return Response(explain.explain(self.get_object()))
