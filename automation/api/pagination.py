"""Lists come in pages: `{"count", "next", "previous", "results"}`."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request


class Pages(PageNumberPagination):
    page_size = 25
    page_size_query_param = "page_size"
    page_size_query_description = "Results per page, up to 200."
    max_page_size = 200
    invalid_page_message = "There is no page {page_number}."

    def get_page_size(self, request: Request) -> Any:
        """What is asked for; more than there may be is as many as there may be."""
        given = request.query_params.get(self.page_size_query_param, "")
        if given and not (given.isascii() and given.isdigit() and int(given[:9]) > 0):
            problem = f"Expected a whole number from 1 to {self.max_page_size}, found {given[:100]!r}."
            raise ValidationError({self.page_size_query_param: [problem]})
        return super().get_page_size(request)
