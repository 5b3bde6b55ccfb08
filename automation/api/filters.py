"""What lists can be narrowed and sorted by."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any, ClassVar, cast

import django_filters
from django import forms
from django.db import connection
from django.db.models import BigIntegerField, QuerySet, TextField
from django.db.models.functions import Cast
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from automation.api import queries
from automation.models import (
    Booking,
    BookingStatus,
    EventType,
    ExecutionStatus,
    ExecutionStep,
    LocationType,
    StepKind,
    StepStatus,
    Trigger,
    Workflow,
    WorkflowAction,
    WorkflowExecution,
)


class StableOrderingFilter(OrderingFilter):
    """`?ordering=name,-created_at`. An unknown field is an error; the primary key breaks ties, so that no row shows on
    two pages or on none."""

    def remove_invalid_fields(self, queryset: QuerySet[Any], fields: Any, view: APIView, request: Request) -> Any:
        known = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        for name in fields:
            if name.lstrip("-") not in known or name.startswith("--"):
                raise ValidationError(
                    {"ordering": f"Cannot sort by {name[:100]!r}; expected one of {', '.join(known)}."}
                )
        return fields

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        ordering = list(self.get_ordering(request, queryset, view) or queryset.model._meta.ordering)
        if not {"pk", "-pk", "id", "-id"} & set(ordering):
            ordering.append("-pk" if ordering and ordering[0].startswith("-") else "pk")
        return queryset.order_by(*ordering)


class Filters(DjangoFilterBackend):
    """A view's filters. What is no parameter of the list is an error, and so is a value that a filter cannot read: a
    list that leaves a misspelt filter out answers another question than was asked."""

    def get_filterset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        """The list's filters, with what the query string says. Raises ValidationError."""
        filterset = super().get_filterset(request, queryset, view)
        fields = {} if filterset is None else filterset.form.fields
        problems = queries.unknown(request, [*fields, *_shared(view)])
        for name, field in fields.items():
            if isinstance(field, forms.NullBooleanField):
                problems |= _unclear(name, request.query_params.get(name, ""))
            elif isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
                choices = cast("Iterable[tuple[Any, Any]]", field.choices)
                known = ", ".join(str(value) for value, _ in choices if value not in ("", None))
                field.error_messages["invalid_choice"] = f"'%(value)s' is none of {known}."
        if problems:
            raise ValidationError(problems)
        return filterset


def _shared(view: APIView) -> list[str]:
    """The parameters of a list that are no filters."""
    names = []
    if getattr(view, "search_fields", None):
        names.append(api_settings.SEARCH_PARAM)
    if getattr(view, "ordering_fields", None):
        names.append(api_settings.ORDERING_PARAM)
    if (pages := getattr(view, "paginator", None)) is not None:
        names += [pages.page_query_param, pages.page_size_query_param]
    return names


def _unclear(name: str, value: str) -> dict[str, list[str]]:
    if value.lower() in ("", "true", "false", "1", "0"):
        return {}
    return {name: [f"Expected true or false, found {value[:100]!r}."]}


@extend_schema_field(int)
class RowNumberFilter(django_filters.NumberFilter):
    """The id of a row that has a number for one, such as a user's."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=1, max_value=BigIntegerField.MAX_BIGINT, **kwargs)


class _MomentField(IsoDateTimeField):
    default_error_messages: ClassVar[dict[str, str]] = {
        "invalid": "Expected a moment in ISO 8601, such as 2027-03-29T09:00:00Z (in a URL, a + is %%2B)."
    }

    def to_python(self, value: Any) -> Any:
        moment = super().to_python(value)
        try:
            return moment and moment.astimezone(dt.UTC)
        except OverflowError:  # the first or last day of the calendar, with an offset that leads out of it
            raise forms.ValidationError("There is no such moment in UTC.", code="invalid") from None


class MomentFilter(django_filters.IsoDateTimeFilter):
    """A moment in ISO 8601; without an offset it is UTC."""

    field_class = _MomentField


class WorkflowFilter(django_filters.FilterSet):
    event_type = django_filters.UUIDFilter("event_types", label="Narrowed to workflows that name this event type.")
    tag = django_filters.CharFilter(method="filter_tag", label="Narrowed to workflows with this tag.")

    class Meta:
        model = Workflow
        fields = ("trigger", "is_active", "late_policy")

    def filter_tag(self, rows: QuerySet[Workflow], name: str, value: str) -> QuerySet[Workflow]:
        tag = " ".join(value.lower().split())
        if connection.vendor == "postgresql":
            return rows.filter(tags__contains=[tag])
        # SQLite keeps JSON as text and cannot look into lists.
        return rows.annotate(tags_text=Cast("tags", TextField())).filter(tags_text__contains=json.dumps(tag))


class ActionFilter(django_filters.FilterSet):
    class Meta:
        model = WorkflowAction
        fields = ("action_type", "is_active", "recipient", "on_failure")


class EventTypeFilter(django_filters.FilterSet):
    location_type = django_filters.ChoiceFilter(choices=LocationType.choices)

    class Meta:
        model = EventType
        fields = ("is_active", "slug")


class BookingFilter(django_filters.FilterSet):
    event_type = django_filters.UUIDFilter("event_type_id")
    status = django_filters.MultipleChoiceFilter(choices=BookingStatus.choices)
    invitee_email = django_filters.CharFilter("invitee_email", lookup_expr="iexact")
    start_after = MomentFilter("start_time", lookup_expr="gte")
    start_before = MomentFilter("start_time", lookup_expr="lt")

    class Meta:
        model = Booking
        fields = ()


class ExecutionFilter(django_filters.FilterSet):
    workflow = django_filters.UUIDFilter("workflow_id")
    booking = django_filters.UUIDFilter("booking_id")
    status = django_filters.MultipleChoiceFilter(choices=ExecutionStatus.choices)
    trigger = django_filters.ChoiceFilter(choices=Trigger.choices)
    definition = django_filters.CharFilter("definition")
    created_after = MomentFilter("created_at", lookup_expr="gte")
    created_before = MomentFilter("created_at", lookup_expr="lt")
    scheduled_after = MomentFilter("scheduled_for", lookup_expr="gte")
    scheduled_before = MomentFilter("scheduled_for", lookup_expr="lt")

    class Meta:
        model = WorkflowExecution
        fields = ()


class StepFilter(django_filters.FilterSet):
    kind = django_filters.MultipleChoiceFilter(choices=StepKind.choices)
    status = django_filters.MultipleChoiceFilter(choices=StepStatus.choices)
    name = django_filters.CharFilter("name")

    class Meta:
        model = ExecutionStep
        fields = ()
