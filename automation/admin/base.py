"""What the admin's pages share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from automation.durable import payloads
from automation.errors import WeirError

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
