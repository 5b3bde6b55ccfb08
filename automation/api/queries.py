"""What a request's query string says. A parameter that is misspelt and left out in silence does something else than was
asked for: a dry run that is none, a list of everything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from automation.rules.problems import nearest


def read(request: Request, serializer_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """The parameters, by what the serializer makes of them. Raises ValidationError, for unknown ones too."""
    serializer = serializer_class(data=request.query_params)
    only(request, serializer.fields)
    serializer.is_valid(raise_exception=True)
    return cast("dict[str, Any]", serializer.validated_data)


def only(request: Request, names: Iterable[str]) -> None:
    """Raises ValidationError where the query string has other parameters."""
    if problems := unknown(request, names):
        raise ValidationError(problems)


def unknown(request: Request, names: Iterable[str]) -> dict[str, list[str]]:
    """What is wrong with each parameter that is none of these, and which of them was likely meant."""
    known = sorted(names)
    problems = {}
    for name in request.query_params:
        if name not in known:
            meant = nearest(name, known)
            hint = f" Did you mean {meant!r}?" if meant else ""
            problems[name[:100]] = [f"There is no such parameter here.{hint} There are {', '.join(known)}."]
    return problems
