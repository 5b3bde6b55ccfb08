"""A meeting between an organizer and an invitee.

Every change that automations react to is recorded as a `BookingEvent` in the same transaction, whichever way it comes
in: `automation.models.booking_changes` says which event it is. The booking and its event commit together.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Collection, Iterable
from typing import Any, Self
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, router, transaction
from django.db.models.base import ModelBase

from automation import clock
from automation.models.booking_changes import (
    WATCHED,
    BookingQuerySet,
    BookingState,
    change_of,
    locked_states,
    record_changes,
    record_events,
)
from automation.models.ids import uuid7
from automation.models.validators import validate_timezone


class BookingStatus(models.TextChoices):
    CONFIRMED = "confirmed", "Confirmed"
    CANCELLED = "cancelled", "Cancelled"
    RESCHEDULED = "rescheduled", "Rescheduled"
    COMPLETED = "completed", "Completed"
    NO_SHOW = "no_show", "No-show"


def new_access_token() -> str:
    """The secret in an invitee's cancel and reschedule links: 32 URL-safe characters."""
    return secrets.token_urlsafe(24)


class Booking(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event_type = models.ForeignKey("automation.EventType", models.RESTRICT, related_name="bookings")
    organizer = models.ForeignKey("automation.User", models.CASCADE, related_name="bookings")
    invitee_name = models.CharField(max_length=200)
    invitee_email = models.EmailField()
    invitee_phone = models.CharField(max_length=32, blank=True)
    invitee_timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    start_time = models.DateTimeField()
    end_time = models.DateTimeField()
    status = models.CharField(max_length=20, choices=BookingStatus, default=BookingStatus.CONFIRMED)
    attendee_count = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1)])
    custom_answers = models.JSONField(default=dict, blank=True)
    meeting_link = models.URLField(max_length=500, blank=True)
    meeting_id = models.CharField(max_length=200, blank=True)
    meeting_password = models.CharField(max_length=200, blank=True)
    cancellation_reason = models.TextField(blank=True)
    cancelled_by = models.CharField(max_length=254, blank=True, help_text="Who cancelled: an email, or a channel.")
    rescheduled_from = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="rescheduled_to")
    access_token = models.CharField(max_length=64, unique=True, default=new_access_token, editable=False)
    sequence = models.PositiveIntegerField(default=0, editable=False, help_text="Grows whenever the time changes.")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    objects = BookingQuerySet.as_manager()

    class Meta:
        ordering = ["-start_time", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(end_time__gt=models.F("start_time")), name="booking_ends_after_start"
            ),
            models.CheckConstraint(condition=models.Q(attendee_count__gte=1), name="booking_attendees_positive"),
            models.CheckConstraint(condition=models.Q(status__in=BookingStatus.values), name="booking_status_known"),
        ]
        indexes = [
            # The organizer's list of bookings, by time.
            models.Index(fields=["organizer", "start_time"], name="booking_by_organizer_time"),
            # Planning a workflow for the bookings that have not passed.
            models.Index(fields=["event_type", "start_time"], name="booking_by_event_type_time"),
        ]

    def __str__(self) -> str:
        return f"{self.invitee_name}, {self.start_time:%Y-%m-%d %H:%M} UTC"

    def clean(self) -> None:
        if self.start_time and self.end_time and self.end_time <= self.start_time:
            raise ValidationError({"end_time": "The end must lie after the start."})
        if not isinstance(self.custom_answers, dict):
            raise ValidationError({"custom_answers": "Expected an object of answers by key."})

    @property
    def duration_minutes(self) -> int:
        # As instants: times of one zone subtract by the clock on the wall.
        return int((self.end_time.astimezone(dt.UTC) - self.start_time.astimezone(dt.UTC)).total_seconds() // 60)

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Self:
        booking = super().from_db(db, field_names, values, **options)
        booking._remember()
        return booking

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Self] | None = None,
    ) -> None:
        super().refresh_from_db(using, fields, from_queryset)
        if fields is None or not set(WATCHED).isdisjoint(fields):
            self._remember()

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Save, and record the event that this change is, in one transaction.

        The change is what differs from the row in the database. A status or a time that this instance was loaded with
        and did not change gives way to the row's: a stale copy does not bring a cancelled meeting back.
        """
        fields = None if update_fields is None else set(update_fields)
        if fields is not None and not fields:
            return
        using = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            before = None if self._state.adding else self._locked_row(using)
            if before is not None:
                self._give_way(before)
            self.updated_at = clock.now()
            if fields is not None:
                fields |= {"sequence", "updated_at"}
            if any(hasattr(self.__dict__.get(name), "resolve_expression") for name in WATCHED):
                super().save(force_insert=force_insert, force_update=force_update, using=using, update_fields=fields)
                record_changes({self.pk: before} if before else {}, [self.pk], type(self)._base_manager, using)
                self.refresh_from_db(using, [*WATCHED, "sequence"])
                return
            after = self._state_after(before, fields)
            change = change_of(before, after, replaces=self.rescheduled_from_id is not None)
            self.sequence = change.sequence
            super().save(force_insert=force_insert, force_update=force_update, using=using, update_fields=fields)
            record_events({self.pk: change}, using)
        self._loaded = {name: getattr(after, name) for name in WATCHED}

    _loaded: dict[str, Any]

    def _remember(self) -> None:
        self._loaded = {name: self.__dict__[name] for name in WATCHED if name in self.__dict__}

    def _locked_row(self, using: str) -> BookingState | None:
        rows: dict[UUID, BookingState] = locked_states(type(self)._base_manager.using(using).filter(pk=self.pk))
        return rows.get(self.pk)

    def _give_way(self, row: BookingState) -> None:
        for name, loaded in getattr(self, "_loaded", {}).items():
            if self.__dict__.get(name) == loaded:
                setattr(self, name, getattr(row, name))
        self.sequence = row.sequence

    def _state_after(self, before: BookingState | None, fields: set[str] | None) -> BookingState:
        """What the row will say: this instance's values where they are written, else the row's own."""
        values: dict[str, Any] = {}
        for name in WATCHED:
            written = name in self.__dict__ and (
                fields is None or not fields.isdisjoint((name, name.removesuffix("_id")))
            )
            if before is not None and not written:
                values[name] = getattr(before, name)
            else:
                field: models.Field[Any, Any] = self._meta.get_field(name)  # type: ignore[assignment]
                values[name] = field.get_prep_value(getattr(self, name))
        return BookingState(**values, sequence=self.sequence)
