"""JSON out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import JSONRenderer


class _Escaping(JSONRenderer):
    ensure_ascii = True


class SafeJSONRenderer(JSONRenderer):
    """JSON in UTF-8; a document that holds half of a surrogate pair, which has no UTF-8, in ASCII with escapes.

    A step's output is whatever its activity received from the world.
    """

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return super().render(data, accepted_media_type, renderer_context)
        except UnicodeEncodeError:
            return _Escaping().render(data, accepted_media_type, renderer_context)
