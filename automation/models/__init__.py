"""Weir's rows: the truth. One file per model."""

from automation.models.alert import Alert, Severity
from automation.models.audit_log import AuditAction, AuditLog
from automation.models.booking import Booking, BookingStatus, new_access_token
from automation.models.booking_audit_log import BookingAuditLog
from automation.models.booking_event import PLAN_CHANGED, BookingEvent, Trigger
from automation.models.bulk_test import BulkTest, BulkTestResult, TestType
from automation.models.destination import CircuitState, Destination, HeldCall, HeldState
from automation.models.event_type import EventType, LocationType
from automation.models.execution_step import ENDED_STEP_STATUSES, ExecutionStep, StepKind, StepStatus
from automation.models.inbound import InboundBooking, InboundEvent, InboundSource, InboundStatus, SourceKind
from automation.models.lease import Lease
from automation.models.notification_event import NotificationEvent
from automation.models.notification_log import Channel, NotificationLog, NotificationStatus
from automation.models.notification_preference import NotificationPreference
from automation.models.notification_total import NotificationTotal
from automation.models.payment_operation import PaymentOperation
from automation.models.provider_record import ProviderRecord
from automation.models.suppression import Suppression, SuppressionReason
from automation.models.user import User
from automation.models.worker_heartbeat import WorkerHeartbeat
from automation.models.workflow import LatePolicy, Workflow
from automation.models.workflow_action import OnFailure, Recipient, WorkflowAction
from automation.models.workflow_draft import WorkflowDraft
from automation.models.workflow_execution import ENDED_STATUSES, OPEN_STATUSES, ExecutionStatus, WorkflowExecution
from automation.models.workflow_schedule import WorkflowSchedule
from automation.models.workflow_template import TemplateCategory, WorkflowTemplate
from automation.models.workflow_trend import WorkflowTrend
from automation.models.workflow_version import WorkflowVersion

__all__ = [
    "Alert",
    "AuditAction",
    "AuditLog",
    "Booking",
    "BookingAuditLog",
    "BookingEvent",
    "BookingStatus",
    "BulkTest",
    "BulkTestResult",
    "Channel",
    "CircuitState",
    "Destination",
    "ENDED_STATUSES",
    "ENDED_STEP_STATUSES",
    "EventType",
    "ExecutionStatus",
    "ExecutionStep",
    "HeldCall",
    "HeldState",
    "InboundBooking",
    "InboundEvent",
    "InboundSource",
    "InboundStatus",
    "LatePolicy",
    "Lease",
    "LocationType",
    "new_access_token",
    "NotificationEvent",
    "NotificationLog",
    "NotificationPreference",
    "NotificationStatus",
    "NotificationTotal",
    "OnFailure",
    "OPEN_STATUSES",
    "PaymentOperation",
    "PLAN_CHANGED",
    "ProviderRecord",
    "Recipient",
    "Severity",
    "SourceKind",
    "StepKind",
    "StepStatus",
    "Suppression",
    "SuppressionReason",
    "TemplateCategory",
    "TestType",
    "Trigger",
    "User",
    "WorkerHeartbeat",
    "Workflow",
    "WorkflowAction",
    "WorkflowDraft",
    "WorkflowExecution",
    "WorkflowSchedule",
    "WorkflowTemplate",
    "WorkflowTrend",
    "WorkflowVersion",
]
