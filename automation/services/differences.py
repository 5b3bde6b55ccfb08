"""What differs between two snapshots of a workflow: for people who publish, and for the list of versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from automation.services.versions import ACTION_FIELDS, WORKFLOW_FIELDS

SECRET = "webhook_secret_encrypted"  # noqa: S105
_HIDDEN = "••••"


@dataclass(frozen=True)
class Change:
    """`kind`: added, removed or changed. `path` is a workflow's field, `actions[1]`, or `actions[1].message`, counted
    in the newer snapshot (in the older for what is removed); `action` is that action's name. `old` and `new` are the
    values; of an added or removed action, all of its fields. A secret's value is not told."""

    kind: str
    path: str
    action: str = ""
    old: Any = None
    new: Any = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """From `old` to `new`: the workflow's fields, then its actions, which are the same where their ids are.

    A field that one of them has not, because it was made before there was such a field, has not changed.
    """
    found = [
        Change("changed", name, old=old[name], new=new[name])
        for name in (*WORKFLOW_FIELDS, "event_types")
        if name in old and name in new and old[name] != new[name]
    ]
    before = {action["id"]: (index, action) for index, action in enumerate(_actions(old))}
    after = {action["id"] for action in _actions(new)}
    for index, action in enumerate(_actions(new)):
        path = f"actions[{index}]"
        if action["id"] in before:
            found += _changed_fields(path, before[action["id"]][1], action)
        else:
            found.append(Change("added", path, action.get("name", ""), new=shown_action(action)))
    for index, action in before.values():
        if action["id"] not in after:
            found.append(Change("removed", f"actions[{index}]", action.get("name", ""), old=shown_action(action)))
    return found


def summary(found: Sequence[Change]) -> list[str]:
    """One line each: `delay_minutes`, `+ Reminder`, `− Text`, `Mail: subject`."""
    lines = []
    for change in found:
        match change.kind:
            case "added":
                lines.append(f"+ {change.action}")
            case "removed":
                lines.append(f"− {change.action}")
            case _ if change.action:
                lines.append(f"{change.action}: {change.path.rpartition('.')[2]}")
            case _:
                lines.append(change.path)
    return lines


def shown(content: Mapping[str, Any]) -> dict[str, Any]:
    """A snapshot in the shape of a workflow's body, without its secrets."""
    return {
        **{name: content.get(name) for name in (*WORKFLOW_FIELDS, "event_types")},
        "actions": [shown_action(action) for action in _actions(content)],
    }


def shown_action(action: Mapping[str, Any]) -> dict[str, Any]:
    """An action of a snapshot, with whether it has a secret in place of the secret."""
    fields = {name: action[name] for name in ("id", *ACTION_FIELDS) if name in action and name != SECRET}
    return {**fields, "webhook_secret_set": bool(action.get(SECRET))}


def _changed_fields(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in ACTION_FIELDS:
        if name not in old or name not in new or old[name] == new[name]:
            continue
        if name == SECRET:
            hidden = [_HIDDEN if action.get(name) else "" for action in (old, new)]
            yield Change("changed", f"{path}.webhook_secret", new.get("name", ""), *hidden)
        else:
            yield Change("changed", f"{path}.{name}", new.get("name", ""), old[name], new[name])


def _actions(content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [action for action in content.get("actions", ()) if "id" in action]
