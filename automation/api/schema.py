"""The OpenAPI document: what drf-spectacular cannot see by itself."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

_MEANINGS = {
    "400": "The request says something that cannot be carried out; `fields` names the places.",
    "401": "Nobody is signed in, or the signature is not the sender's.",
    "404": "There is no such thing, or it belongs to somebody else.",
    "409": "The thing is not in a state that allows this.",
    "412": "If-Match names another state than the present one: somebody else has edited it.",
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
    """Adds the error envelope to every operation that can meet with one."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        if direction != "response":
            return bodies
        for status in self._possible_errors():
            if status not in bodies:
                response = OpenApiResponse(ErrorSerializer, description=_MEANINGS[status])
                bodies[status] = self._get_response_for_code(response, status)  # type: ignore[no-untyped-call]
        return bodies

    def _possible_errors(self) -> list[str]:
        errors: list[str] = []
        writes = self.method in ("POST", "PUT", "PATCH", "DELETE")
        if writes or self._is_list_view():
            errors.append("400")
        signed_in = self.view.permission_classes and "AllowAny" not in str(self.view.permission_classes)
        if signed_in or getattr(self.view, "checks_signature", False):
            errors.append("401")
        if "{" in self.path:
            errors.append("404")
        if writes and "{" in self.path:
            errors.append("409")
        if getattr(self.view, "checks_if_match", False) and writes and "{" in self.path:
            errors.append("412")
        return errors


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
