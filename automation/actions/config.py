"""An action's configuration, as the snapshot of a version holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

_KINDS: dict[str, tuple[type, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
}


@dataclass(frozen=True, kw_only=True)
class ActionConfig:
    """One action of a snapshot, or a draft that is to be checked or previewed. Ids are text; nothing is validated."""

    id: str = ""
    name: str = ""
    action_type: str = ""
    order: int = 0
    delay_minutes: int = 0
    on_failure: str = "continue"
    recipient: str = "invitee"
    custom_email: str = ""
    custom_phone: str = ""
    subject: str = ""
    message: str = ""
    webhook_url: str = ""
    webhook_data: Any = field(default_factory=dict)
    webhook_secret_encrypted: str = ""
    conditions: Any = field(default_factory=list)
    update_booking_fields: Any = field(default_factory=dict)
    config: Any = field(default_factory=dict)
    is_active: bool = True

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> ActionConfig:
        """Takes what it knows out of a snapshot's action or of a request's body; null counts as not given."""
        known = {item.name for item in fields(cls)}
        given = {name: value for name, value in data.items() if name in known and value is not None}
        if "id" in given:
            given["id"] = str(given["id"])
        return cls(**given)

    def wrong_kinds(self) -> dict[str, str]:
        """The fields whose value is of another kind than its type says, with the kind that is expected: a draft comes
        as JSON. The JSON fields (conditions, webhook_data, update_booking_fields, config) are checked where they are
        used."""
        wrong: dict[str, str] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            expected = _KINDS.get(str(item.type))
            if expected is not None and (
                not isinstance(value, expected[0]) or isinstance(value, bool) is not (expected[0] is bool)
            ):
                wrong[item.name] = expected[1]
        return wrong
