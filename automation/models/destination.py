"""Where an organizer's webhooks go, host by host: what is wrong there, how fast it may be called, and which calls wait.

A destination has a row only once it has failed, was given a rate, or is counted against one; a call that could not be
made, or came to nothing, has a `HeldCall`. While all is well both tables are empty.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from automation import clock
from automation.models.ids import uuid7


class CircuitState(models.TextChoices):
    CLOSED = "closed", "Closed"  # calls are made
    OPEN = "open", "Open"  # calls wait: too many have failed, one after the other
    HALF_OPEN = "half_open", "Half-open"  # one call is being made, to see


class Destination(models.Model):
    """One host of one organizer, and its circuit breaker and rate. With an empty `host`: all that the organizer calls,
    which has a rate and no circuit."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="destinations")
    host = models.CharField(max_length=270, blank=True, help_text="host, or host:port where the port is unusual.")
    state = models.CharField(max_length=20, choices=CircuitState, default=CircuitState.CLOSED)
    failures = models.PositiveIntegerField(default=0, help_text="Failed calls since the last good one.")
    trips = models.PositiveIntegerField(default=0, help_text="Probes that failed since the circuit opened.")
    opened_at = models.DateTimeField(null=True, blank=True)
    probe_at = models.DateTimeField(null=True, blank=True, help_text="When an open circuit lets the next call try.")
    mended_at = models.DateTimeField(null=True, blank=True)
    last_cause = models.CharField(max_length=100, blank=True, help_text="Why the last call failed: 'HTTP 503'.")
    last_message = models.TextField(blank=True)
    rate = models.CharField(max_length=20, blank=True, help_text="'60/min', 'off', or empty for the settings' rate.")
    next_slot = models.DateTimeField(null=True, blank=True, help_text="When a call at an even pace comes next.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["host", "id"]
        constraints = [
            models.UniqueConstraint(fields=["organizer", "host"], name="destination_once"),
            models.CheckConstraint(condition=Q(state__in=CircuitState.values), name="destination_state_known"),
        ]
        indexes = [
            # The sweep: circuits whose time to probe may have come.
            models.Index(fields=["probe_at"], condition=~Q(state=CircuitState.CLOSED), name="destination_open"),
        ]

    def __str__(self) -> str:
        return self.host or "all destinations"


class HeldState(models.TextChoices):
    LIMITED = "limited", "Waits for its slot"  # a rate limit
    HELD = "held", "Waits for the circuit"
    RETRYING = "retrying", "Is tried again"  # failed, and has attempts left
    FAILED = "failed", "Failed"  # no attempt is left; can be replayed
    REPLAYING = "replaying", "Is about to be replayed"


class HeldCall(models.Model):
    """A step whose call waits, or has failed; the row goes when the call has been answered well.

    `waits` counts attempts that made no call, which do not count against the action's retry policy.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    destination = models.ForeignKey("automation.Destination", models.CASCADE, related_name="held", db_index=False)
    execution = models.ForeignKey("automation.WorkflowExecution", models.CASCADE, related_name="held_calls")
    step_seq = models.IntegerField()
    state = models.CharField(max_length=20, choices=HeldState)
    cause = models.CharField(max_length=100, blank=True)
    message = models.TextField(blank=True)
    attempt = models.PositiveIntegerField(default=0, help_text="The step's last attempt.")
    waits = models.PositiveIntegerField(default=0)
    slot = models.DateTimeField(null=True, blank=True, help_text="The time that a rate limit gave it.")
    since = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "step_seq"], name="held_call_once_per_step"),
            models.CheckConstraint(condition=Q(state__in=HeldState.values), name="held_call_state_known"),
        ]
        indexes = [
            models.Index(fields=["destination", "state", "id"], name="held_call_by_destination"),
            # The sweep: what waits to go on now that its circuit has closed, and what is to be replayed.
            models.Index(
                fields=["state", "id"], condition=Q(state__in=("held", "replaying")), name="held_call_to_go_on"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.execution_id}:{self.step_seq} {self.state}"
