"""One envelope for every error: `{"error": {"code", "message", "fields"}}`.

`code` is for programs (a short, stable word), `message` for people (what was wrong, and where), `fields` maps the path
of each field at fault, such as `actions[1].conditions[0].rules[2].field`, to the list of what is wrong with it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core import exceptions as django_errors
from django.db import IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404
from rest_framework import exceptions as drf_errors
from rest_framework import status
from rest_framework.settings import api_settings

from automation.errors import WeirError

logger = logging.getLogger(__name__)

WHOLE_BODY = "non_field_errors"
"""The key in `fields` of problems that belong to the body as a whole."""

_CODES = {
    status.HTTP_400_BAD_REQUEST: "invalid",
    status.HTTP_401_UNAUTHORIZED: "not_authenticated",
    status.HTTP_403_FORBIDDEN: "permission_denied",
    status.HTTP_404_NOT_FOUND: "not_found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
    status.HTTP_406_NOT_ACCEPTABLE: "not_acceptable",
    status.HTTP_409_CONFLICT: "conflict",
    status.HTTP_412_PRECONDITION_FAILED: "precondition_failed",
    status.HTTP_413_REQUEST_ENTITY_TOO_LARGE: "too_large",
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    status.HTTP_429_TOO_MANY_REQUESTS: "throttled",
    status.HTTP_503_SERVICE_UNAVAILABLE: "unavailable",
}


@dataclass(frozen=True)
class Problem:
    """What goes into the envelope, with the HTTP status and headers that go around it."""

    code: str
    message: str
    status: int
    fields: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def envelope(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message, "fields": self.fields}}


class TooLarge(WeirError):
    """The request's body is longer than the server reads."""

    code = "too_large"
    status = 413


class PreconditionFailed(WeirError):
    """The thing was changed since the caller read it (If-Match): a lost update, refused."""

    code = "precondition_failed"
    status = 412


def describe(exc: Exception) -> Problem:
    """The problem that an exception stands for."""
    if isinstance(exc, WeirError):
        return Problem(exc.code, _with_place(exc), exc.status, exc.fields)
    if isinstance(exc, drf_errors.APIException):
        return _of_drf(exc)
    if isinstance(exc, django_errors.ValidationError):
        return _of_fields(flatten(_django_messages(exc)))
    if isinstance(exc, Http404):
        return Problem("not_found", "There is no such thing here, or it belongs to somebody else.", 404)
    if isinstance(exc, django_errors.PermissionDenied):
        return Problem("permission_denied", str(exc) or "You may not do this.", 403)
    if isinstance(exc, django_errors.RequestDataTooBig):
        return Problem("too_large", "The request's body is too large.", 413)
    if isinstance(exc, django_errors.SuspiciousOperation):
        return Problem("invalid", "The request is malformed.", 400)
    if isinstance(exc, ProtectedError | RestrictedError):
        return Problem("conflict", "This is still in use by other rows and cannot be deleted.", 409)
    if isinstance(exc, IntegrityError):
        # Validation found it free; another request took it before this one committed.
        logger.warning("A write collided with another", exc_info=exc)
        return Problem("conflict", "The change collides with another one made at the same time; try again.", 409)
    if isinstance(exc, OperationalError | InterfaceError):
        message = "The database does not answer at present; try again."
        return Problem("unavailable", message, 503, headers={"Retry-After": "5"})
    return Problem("internal", "Something went wrong on our side; it has been recorded.", 500)


def _with_place(exc: WeirError) -> str:
    """The error's message, which names the first of the fields at fault if it did not by itself."""
    told = any(problem in exc.message for found in exc.fields.values() for problem in found)
    if told or not exc.fields:
        return exc.message
    end = "" if exc.message.endswith((".", ":", "?", "!")) else "."
    return f"{exc.message}{end} {summary(exc.fields)}"


def _of_drf(exc: drf_errors.APIException) -> Problem:
    headers: dict[str, str] = {}
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if (wait := getattr(exc, "wait", None)) is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    if isinstance(exc, drf_errors.ValidationError):
        return _of_fields(flatten(exc.detail))
    code = "parse_error" if isinstance(exc, drf_errors.ParseError) else _CODES.get(exc.status_code, "error")
    if isinstance(exc, drf_errors.AuthenticationFailed):
        code = "authentication_failed"
    return Problem(code, str(exc.detail), exc.status_code, headers=headers)


def _of_fields(fields: dict[str, list[str]]) -> Problem:
    return Problem("invalid", summary(fields), 400, fields)


def summary(fields: Mapping[str, Sequence[str]]) -> str:
    """The first problem with its place, and how many more there are."""
    problems = [(path, problem) for path, found in fields.items() for problem in found]
    if not problems:
        return "The request is invalid."
    path, problem = problems[0]
    text = problem if path == WHOLE_BODY else f"{path}: {problem}"
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"


def _django_messages(exc: django_errors.ValidationError) -> Any:
    if hasattr(exc, "error_dict"):
        return {
            WHOLE_BODY if name == django_errors.NON_FIELD_ERRORS else name: found
            for name, found in exc.message_dict.items()
        }
    return {WHOLE_BODY: exc.messages}


def flatten(detail: Any) -> dict[str, list[str]]:
    """DRF's nested error detail as {path: [problem, …]}: `{"actions": [{}, {"name": ["x"]}]}` → `actions[1].name`."""
    fields: dict[str, list[str]] = {}
    for path, problem in _walk(detail, ""):
        fields.setdefault(path or WHOLE_BODY, []).append(problem)
    return fields


def _walk(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            if key in (WHOLE_BODY, api_settings.NON_FIELD_ERRORS_KEY):
                yield from _walk(inner, path)
            elif isinstance(key, int):
                yield from _walk(inner, f"{path}[{key}]")
            else:
                yield from _walk(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            # A list of texts is what is wrong with `path`; a list of mappings goes item by item.
            yield from _walk(inner, path if isinstance(inner, str) else f"{path}[{index}]")
    else:
        yield path, str(detail)
