"""The action types there are, by name."""

from __future__ import annotations

import importlib

from django.core.exceptions import ImproperlyConfigured

from automation.actions.base import ActionType
from automation.errors import InvalidInput


class DuplicateActionType(ImproperlyConfigured):
    """Two classes claim one name or one activity."""


class UnknownActionType(InvalidInput):
    """No type has that name."""

    code = "unknown_action_type"


class Registry:
    """`catalog` is imported with the first question, so that importing this module needs no models."""

    def __init__(self, catalog: str = "") -> None:
        self._types: dict[str, ActionType] = {}
        self._catalog = catalog

    def register(self, cls: type[ActionType]) -> type[ActionType]:
        """Makes a type known; the same class twice changes nothing. Raises DuplicateActionType naming both classes.

        Usable as a decorator. Another Django app calls it in its `AppConfig.ready`.
        """
        for other in self._types.values():
            if type(other) is cls:
                return cls
            for attribute in ("name", "activity"):
                if getattr(other, attribute) == getattr(cls, attribute):
                    raise DuplicateActionType(
                        f"the action {attribute} {getattr(cls, attribute)!r} is registered twice: by "
                        f"{_place(type(other))} and by {_place(cls)}"
                    )
        self._types[cls.name] = cls()
        return cls

    def types(self) -> list[ActionType]:
        """All types, in the order of their registration."""
        self._load()
        return list(self._types.values())

    def get(self, name: str) -> ActionType:
        """The type of that name. Raises UnknownActionType, which lists the names there are."""
        self._load()
        try:
            return self._types[name]
        except KeyError:
            known = ", ".join(self._types)
            raise UnknownActionType(
                f"There is no action type {name!r}; expected one of {known}.",
                {"action_type": [f"Expected one of {known}."]},
            ) from None

    def of_activity(self, activity: str) -> ActionType:
        """The type whose activity has that name. Raises UnknownActionType."""
        for found in self.types():
            if found.activity == activity:
                return found
        raise UnknownActionType(f"No action type runs as the activity {activity!r}.")

    def _load(self) -> None:
        if self._catalog:
            importlib.import_module(self._catalog)


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


registry = Registry("automation.actions.catalog")
register = registry.register
