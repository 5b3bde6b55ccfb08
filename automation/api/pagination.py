"""Lists come in pages: `{"count", "next", "previous", "results"}`."""

from __future__ import annotations

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    page_size = 25
    page_size_query_param = "page_size"
    page_size_query_description = "Results per page, up to 200."
    max_page_size = 200
    invalid_page_message = "There is no page {page_number}."
