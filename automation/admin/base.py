"""What the admin's pages share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from automation import audit
from automation.durable import payloads
from automation.errors import WeirError
from automation.models import User

M = TypeVar("M", bound=Model)

LONGEST_SHOWN = 20_000
"""Characters of a payload that a page shows; the API has all of it."""


if TYPE_CHECKING:
    Page = admin.ModelAdmin
    Inline = admin.TabularInline[Any, Any]
else:
    Inline = admin.TabularInline

    class Page(admin.ModelAdmin):
        """Django's ModelAdmin, which knows only in its type stubs which model it is for."""

        def __class_getitem__(cls, model: Any) -> type:
            return cls


class BigTable(Page[M]):
    """A table that may have millions of rows: no count of all of them beside a filtered list."""

    show_full_result_count = False
    list_per_page = 50


class Audited(Page[M]):
    """Rows whose changes are written into the audit log, as those through the API are."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        rows = type(obj)._default_manager.select_for_update()
        before = audit.facts(rows.get(pk=obj.pk)) if change else None
        super().save_model(request, obj, form, change)
        audit.record_row(obj, actor=cast(User, request.user), before=before)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit.record_row(obj, actor=cast(User, request.user), deleted=True)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        for row in queryset:
            audit.record_row(row, actor=cast(User, request.user), deleted=True)
        super().delete_queryset(request, queryset)


class History(BigTable[M]):
    """Rows that say what happened: they can be read, and nothing else."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class HistoryInline(Inline):
    """History inside another page."""

    extra = 0
    can_delete = False
    show_change_link = True
    max_shown: ClassVar[int] = 200

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def payload(text: str) -> SafeString | str:
    """A payload column as indented JSON."""
    if not text:
        return "—"
    try:
        shown = json.dumps(payloads.decode(text), indent=2, ensure_ascii=False)
        shown.encode()
    except (ValueError, RecursionError, WeirError):  # not JSON, half of a surrogate pair in it, or sealed for ever
        shown = text
    if len(shown) > LONGEST_SHOWN:
        shown = f"{shown[:LONGEST_SHOWN]}\n… {len(shown) - LONGEST_SHOWN} more characters"
    return format_html('<pre style="white-space: pre-wrap; margin: 0">{}</pre>', shown)
