"""Drafts, and tests of many workflows: to be read."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin

from automation.admin.base import History, payload
from automation.models import BulkTest, BulkTestResult, WorkflowDraft
from automation.secrets import masked


@admin.register(WorkflowDraft)
class WorkflowDraftAdmin(History[WorkflowDraft]):
    list_display = ("workflow", "base_version", "revision", "updated_by", "updated_at")
    list_select_related = ("workflow", "updated_by")
    search_fields = ("workflow__name", "workflow__organizer__email")
    date_hierarchy = "updated_at"
    raw_id_fields = ("workflow", "updated_by")
    exclude = ("content",)
    readonly_fields = ("shown_content",)

    @admin.display(description="content")
    def shown_content(self, draft: WorkflowDraft) -> Any:
        return payload(json.dumps(masked(draft.content)))


@admin.register(BulkTest)
class BulkTestAdmin(History[BulkTest]):
    list_display = ("id", "organizer", "test_type", "total", "draft", "created_at")
    list_filter = ("test_type", "draft")
    list_select_related = ("organizer",)
    search_fields = ("id", "organizer__email")
    date_hierarchy = "created_at"
    raw_id_fields = ("organizer", "execution")


@admin.register(BulkTestResult)
class BulkTestResultAdmin(History[BulkTestResult]):
    list_display = ("bulk_test", "position", "workflow_name", "booking_id", "passed")
    list_filter = ("passed",)
    list_select_related = ("bulk_test",)
    search_fields = ("bulk_test__id", "workflow_name")
    raw_id_fields = ("bulk_test",)
