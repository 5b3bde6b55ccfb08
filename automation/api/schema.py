"""The OpenAPI document: what drf-spectacular cannot see by itself."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAuthenticated

_MEANINGS = {
    "400": "The request says something that cannot be carried out; `fields` names the places.",
    "401": "Nobody is signed in, or the signature is not the sender's.",
    "403": "The caller may not do this; the message says what it takes.",
    "404": "There is no such thing (or page), or it belongs to somebody else.",
    "406": "The `Accept` header allows nothing that this answers with.",
    "409": "The thing is not in a state that allows this.",
    "412": "If-Match names another state than the present one: somebody else has edited it.",
    "413": "The body is longer than the server reads (API_MAX_BODY_BYTES).",
    "415": "The body is of another type than those named here.",
    "422": "The workflow's code refused it, or knows nothing of that name.",
    "429": "Too many requests; `Retry-After` says in how many seconds the next is welcome.",
    "503": "The database does not answer at present; `Retry-After` says when to try again.",
}


class _ErrorBodySerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="A short, stable word for programs.")
    message = serializers.CharField(help_text="What was wrong, and where.")
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        help_text="What is wrong, by the path of the field: `actions[1].name`.",
    )

    class Meta:
        ref_name = "ErrorBody"


class ErrorSerializer(serializers.Serializer[Any]):
    """The envelope of every error."""

    error = _ErrorBodySerializer()


class EnvelopeSchema(AutoSchema):
    """Adds the error envelope to every operation that can meet with one.

    A view's `also_answers` names the statuses that only it knows of: a tuple, or by the name of a viewset's action.
    """

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        if direction != "response":
            return bodies
        for status in self._possible_errors():
            if status not in bodies:
                response = OpenApiResponse(ErrorSerializer, description=_MEANINGS[status])
                bodies[status] = self._get_response_for_code(response, status)  # type: ignore[no-untyped-call]
        return bodies

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        """A choice that is only read is blank where its column may be: nobody has chosen yet."""
        if isinstance(field, serializers.ChoiceField) and field.read_only and _may_be_blank(field):
            field.allow_blank = True
        return super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]

    def _possible_errors(self) -> list[str]:
        errors: list[str] = []
        writes = self.method in ("POST", "PUT", "PATCH", "DELETE")
        if writes or self._is_list_view() or self._process_override_parameters():  # type: ignore[no-untyped-call]
            errors.append("400")
        signed_in = self.view.permission_classes and "AllowAny" not in str(self.view.permission_classes)
        if signed_in or getattr(self.view, "checks_signature", False):
            errors.append("401")
        if set(self.view.permission_classes) - {AllowAny, IsAuthenticated}:
            errors.append("403")
        if "{" in self.path or self._is_list_view():  # a list has no such page
            errors.append("404")
        if writes and "{" in self.path:
            errors.append("409")
        if getattr(self.view, "checks_if_match", False) and writes and "{" in self.path:
            errors.append("412")
        errors += ["406", "503"]
        if self._get_request_body():  # type: ignore[no-untyped-call]
            errors.append("413")
            if not getattr(self.view, "checks_signature", False):  # a signature is that of bytes, whatever their type
                errors.append("415")
        if self.view.throttle_classes:
            errors.append("429")
        also = getattr(self.view, "also_answers", ())
        errors += also.get(getattr(self.view, "action", ""), ()) if isinstance(also, dict) else also
        return sorted(set(errors))


def _may_be_blank(field: serializers.ChoiceField) -> bool:
    """Whether the column that the field shows may hold an empty text."""
    model = getattr(getattr(field.parent, "Meta", None), "model", None)
    columns = {column.name: column for column in model._meta.concrete_fields} if model else {}
    return bool(getattr(columns.get(field.source), "blank", False))


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "automation.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <token>`, where the token comes from `auth/token/`.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "automation.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "A signed-in browser."}
