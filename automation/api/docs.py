"""The API's pages: the OpenAPI document as plain HTML, served by ourselves, so that they work offline."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from automation.api.renderers import SafeJSONRenderer
from automation.rules.problems import none_of

METHODS = ("get", "post", "put", "patch", "delete")
FORMATS = ("yaml", "json")


class ByParameter(DefaultContentNegotiation):
    """`?format=json` says what `Accept` says, for a browser's address bar."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        wanted = request.query_params.get("format") or format_suffix
        if wanted and wanted not in FORMATS:
            raise ValidationError({"format": [none_of(wanted, FORMATS)]})
        return super().select_renderer(request, renderers, wanted)


@extend_schema(exclude=True)
class DocumentView(SpectacularAPIView):
    """The OpenAPI document, as YAML or JSON. Its errors are JSON, as everywhere."""

    content_negotiation_class = ByParameter

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        if response.status_code >= 400:
            request.accepted_renderer, request.accepted_media_type = SafeJSONRenderer(), SafeJSONRenderer.media_type
        return super().finalize_response(request, response, *args, **kwargs)


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Every operation by tag, then every schema; from the same document as `schema/`."""
    return render(request, "api/docs.html", contents())


@functools.cache
def contents() -> dict[str, Any]:
    """What the page shows; it changes with the code only, and takes most of a second to find out."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    document: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                groups.setdefault((operation.get("tags") or ["other"])[0], []).append(
                    {"method": method.upper(), "path": path, **_operation(operation)}
                )
    schemas = [
        {
            "name": name,
            "description": schema.get("description", ""),
            "enum": schema.get("enum"),
            "rows": list(_rows(schema)),
        }
        for name, schema in document.get("components", {}).get("schemas", {}).items()
    ]
    return {"info": document["info"], "groups": groups, "schemas": schemas}


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return {
        "id": operation["operationId"],
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "parameters": [
            {
                "name": parameter["name"],
                "in": parameter["in"],
                "type": type_of(parameter.get("schema", {})),
                "required": parameter.get("required", False),
                "description": parameter.get("description", ""),
            }
            for parameter in operation.get("parameters", [])
        ],
        "body": type_of(body["schema"]) if body.get("schema") else None,
        "examples": [
            {"name": name, "text": json.dumps(example.get("value"), indent=2, ensure_ascii=False)}
            for name, example in body.get("examples", {}).items()
        ],
        "responses": [
            {
                "status": status,
                "description": response.get("description", ""),
                "type": type_of(response.get("content", {}).get("application/json", {}).get("schema", {})),
            }
            for status, response in sorted(operation.get("responses", {}).items())
        ],
    }


def type_of(schema: dict[str, Any]) -> dict[str, str]:
    """A schema as {"text": what to show, "link": the name of the component that it is, or ''}."""
    if ref := schema.get("$ref"):
        name = ref.rsplit("/", 1)[-1]
        return {"text": name, "link": name}
    for combination in ("allOf", "oneOf", "anyOf"):
        if options := schema.get(combination):
            return type_of(options[0])
    if schema.get("type") == "array":
        item = type_of(schema.get("items", {}))
        return {"text": f"list of {item['text']}", "link": item["link"]}
    text = schema.get("type", "any" if schema else "")
    if "enum" in schema:
        text = " | ".join(str(value) for value in schema["enum"])
    elif "format" in schema:
        text = f"{text} ({schema['format']})"
    return {"text": text + (" or null" if schema.get("nullable") else ""), "link": ""}


def _rows(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    required = schema.get("required", ())
    for name, property in schema.get("properties", {}).items():
        yield {
            "name": name,
            "type": type_of(property),
            "required": name in required and not property.get("readOnly"),
            "read_only": property.get("readOnly", False),
            "description": property.get("description", ""),
        }
