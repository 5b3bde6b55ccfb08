"""The base of every error Weir shows to a person: a code, an HTTP status, a sentence and the fields at fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class WeirError(Exception):
    """Base class. `fields` maps a field's path to the list of what is wrong with it."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400

    def __init__(self, message: str, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fields: dict[str, list[str]] = {name: list(problems) for name, problems in (fields or {}).items()}


class InvalidInput(WeirError):
    """The request says something that cannot be carried out."""

    code = "invalid"
    status = 400


class NotFound(WeirError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"
    status = 404


class Conflict(WeirError):
    """The thing is not in a state that allows this."""

    code = "conflict"
    status = 409
