"""Errors that no API view answers: unknown paths, and what Django refuses before it finds a view."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect, JsonResponse
from django.urls import Resolver404, resolve
from django.views import defaults
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from automation.api.problems import Problem
from automation.errors import NotFound

PREFIX = "/api/"


class UnknownPath(APIView):
    """Every method of every path under /api/ that is nothing: 404 in the envelope, or the path with its slash."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in ("GET", "HEAD") and _is_known(request.path_info + "/"):
            query = request.META.get("QUERY_STRING", "")
            return HttpResponsePermanentRedirect(f"{request.path}/" + (f"?{query}" if query else ""))
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        hint = f" Did you mean {request.path}/ ?" if _is_known(request.path_info + "/") else ""
        raise NotFound(f"There is nothing at {request.path}.{hint}")


def _is_known(path: str) -> bool:
    try:
        match = resolve(path)
    except Resolver404:
        return False
    return getattr(match.func, "view_class", None) is not UnknownPath


def _answer(request: HttpRequest, problem: Problem) -> JsonResponse:
    return JsonResponse(problem.envelope(), status=problem.status)


def bad_request(request: HttpRequest, exception: Exception) -> Any:
    if request.path.startswith(PREFIX):
        return _answer(request, Problem("invalid", "The request is malformed.", 400))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> Any:
    if request.path.startswith(PREFIX):
        return _answer(request, Problem("permission_denied", "You may not do this.", 403))
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> Any:
    if request.path.startswith(PREFIX):
        return _answer(request, Problem("not_found", f"There is nothing at {request.path}.", 404))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> Any:
    if request.path.startswith(PREFIX):
        message = "Something went wrong on our side; it has been recorded."
        return _answer(request, Problem("internal", message, 500))
    return defaults.server_error(request)
