"""Workflows as documents: what is exported, imported, kept as templates, and compared in reviews.

A document has no ids, no secrets and no statistics, leaves out what is as it is by default, and has its keys in one
order: two exports of the same workflow are equal, and their differences read as a diff. In YAML:

    weir: 1
    workflow:
      name: Reminder a day before
      trigger: before_meeting
      delay_minutes: 1440
      event_types: [discovery-call]
      actions:
      - name: Reminder
        action_type: send_email
        subject: Tomorrow
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import yaml

from automation.errors import InvalidInput
from automation.models import EventType, LatePolicy, User, Workflow, WorkflowAction
from automation.rules.values import has_unstorable, preview, storable
from automation.services import versions

VERSION = 1
KEY = "weir"
MAX_CHARACTERS = 2_000_000
MAX_WORKFLOWS = 500
MAX_DEPTH = 64
"""Levels of nesting; conditions of ten nested groups inside a workflow's actions take 25."""

Document = dict[str, Any]
"""A workflow's own part of it: `{"name": …, "trigger": …, …, "actions": [{…}, …]}`."""

_LONGEST_SLUG = EventType._meta.get_field("slug").max_length or 0
_HIDDEN = ("webhook_secret_encrypted",)
SIGNED = "webhook_secret_set"
ACTION_KEYS = (*(name for name in versions.ACTION_FIELDS if name not in _HIDDEN), SIGNED)
WORKFLOW_KEYS = (
    *("name", "description", "trigger", "delay_minutes", "late_policy", "is_active", "tags"),
    *("event_types", "actions"),
)
_WORKFLOW_DEFAULTS: Mapping[str, Any] = {
    "description": "",
    "delay_minutes": 0,
    "late_policy": str(LatePolicy.SKIP),
    "is_active": True,
    "tags": [],
    "event_types": [],
    "actions": [],
}


class DocumentError(InvalidInput):
    """The text is no document of workflows."""

    code = "invalid_document"


# -- from rows ---------------------------------------------------------------------------------------------------------


def of(workflows: Iterable[Workflow]) -> list[Document]:
    """The documents of workflows, in order; a constant number of queries."""
    rows = list(workflows)
    contents = versions.snapshots(rows)
    slugs = {
        str(id_): slug
        for id_, slug in EventType.objects.filter(workflows__in=rows).distinct().values_list("id", "slug")
    }
    return [_document(row, content, slugs) for row, content in zip(rows, contents, strict=True)]


def _document(workflow: Workflow, content: Mapping[str, Any], slugs: Mapping[str, str]) -> Document:
    values = {
        **{name: content[name] for name in versions.WORKFLOW_FIELDS},
        "is_active": workflow.is_active,
        "tags": workflow.tags,
        "event_types": sorted(slugs[id_] for id_ in content["event_types"]),
        # Parallel actions have no order among themselves; by name, an import has them where the export had.
        "actions": [
            _action(action)
            for action in sorted(content["actions"], key=lambda action: (action["order"], action["name"]))
        ],
    }
    return {
        key: _plain(values[key])
        for key in WORKFLOW_KEYS
        if key not in _WORKFLOW_DEFAULTS or values[key] != _WORKFLOW_DEFAULTS[key]
    }


def _action(action: Mapping[str, Any]) -> Document:
    defaults = action_defaults()
    values = {key: _plain(action[key]) for key in ACTION_KEYS if key in action}
    values[SIGNED] = bool(action.get("webhook_secret_encrypted"))
    # `order` always: leaving it out means "after the one before", which equal orders are not.
    return {
        key: value
        for key, value in values.items()
        if key in ("name", "action_type", "order") or value != defaults.get(key, False)
    }


def action_defaults() -> dict[str, Any]:
    """What an action's fields are where nothing is said."""
    blank = WorkflowAction()
    return {name: _plain(getattr(blank, name)) for name in versions.ACTION_FIELDS if name not in _HIDDEN}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value  # enumerations' members are written as their values


# -- text --------------------------------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no aliases, which are hard to read and to compare."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_FOLDED = frozenset("\r\x85\u2028\u2029\ufeff")


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # A block cannot hold every text (blanks at a line's end, control characters); PyYAML quotes it then by itself.
    style = "|" if "\n" in text and not text.startswith((" ", "\n")) else None
    if not _FOLDED.isdisjoint(text):
        style = '"'  # elsewhere these count as ends of lines, and are read as blanks
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def envelope(documents: Sequence[Document]) -> dict[str, Any]:
    """One workflow under `workflow`, others under `workflows`."""
    return {KEY: VERSION, "workflow": documents[0]} if len(documents) == 1 else {KEY: VERSION, "workflows": documents}


def to_yaml(documents: Sequence[Document]) -> str:
    return yaml.dump(envelope(documents), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def to_json(documents: Sequence[Document]) -> str:
    return json.dumps(envelope(documents), indent=2, ensure_ascii=False) + "\n"


class _Loader(yaml.SafeLoader):
    """Reads what JSON has too. Refuses a key that is there twice, and aliases: a few bytes of them make gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases are not accepted", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is no text: put it into quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_TAG = "tag:yaml.org,2002:"
_JSON_TAGS = tuple(_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map"))
# A date or time stays the text that was written, and so does `=`: JSON has no types for them.
_TEXTS = (_TAG + "timestamp", _TAG + "value")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _TEXTS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag is None or tag in _JSON_TAGS
}


_MISSING = object()


def _read_json(text: str) -> Any:
    """The value, or _MISSING where the text is no JSON: YAML's mappings may begin with a brace, too."""

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DocumentError(f"The document is not as it should be: {twice!r} is there twice.")
        return found

    try:
        return json.loads(text, object_pairs_hook=mapping)
    except ValueError:
        return _MISSING


def read(text: str) -> list[Document]:
    """The workflows' documents in a text of YAML or JSON. Raises DocumentError."""
    return unwrap(parse(text))


def parse(text: str) -> Any:
    """What a text of YAML or JSON holds, whatever that is. Raises DocumentError."""
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(f"The document has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read.")
    try:
        # YAML's reader refuses characters that JSON may hold.
        whole = _read_json(text) if text.lstrip().startswith("{") else _MISSING
        if whole is _MISSING:
            whole = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, LookupError) as error:  # a LookupError: `!!bool maybe`
        raise DocumentError(f"The document is neither YAML nor JSON: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise DocumentError("The document is nested too deeply.") from None
    refuse_unstorable(whole)
    return whole


def refuse_unstorable(whole: Any) -> None:
    """Raises DocumentError, naming the place, for what no database keeps: NaN and infinities, NUL characters, halves of
    surrogate pairs, and what is nested deeper than MAX_DEPTH."""
    left: list[tuple[str, Any, int]] = [("", whole, 0)]
    while left:
        place, value, depth = left.pop()
        problem = ""
        if isinstance(value, str) and has_unstorable(value):
            problem = "Holds a NUL or half of a surrogate pair, which are no characters."
        elif isinstance(value, float) and not math.isfinite(value):
            problem = f"Expected a number, found {value}."
        elif depth > MAX_DEPTH:
            problem = f"Nested deeper than {MAX_DEPTH} levels."
        elif isinstance(value, Mapping):
            left += [(f"{place}.{preview(key)} (the name)", key, depth) for key in value if has_unstorable(str(key))]
            left += [(f"{place}.{key}" if place else str(key), inner, depth + 1) for key, inner in value.items()]
        elif isinstance(value, list):
            left += [(f"{place}[{index}]", inner, depth + 1) for index, inner in enumerate(value)]
        if problem:
            raise DocumentError("The document holds what cannot be kept.", {storable(place) or KEY: [problem]})


def unwrap(whole: Any) -> list[Document]:
    """The documents in an envelope that has been read. Raises DocumentError, naming the place."""
    if not isinstance(whole, dict) or KEY not in whole:
        raise DocumentError(f"Expected a mapping with '{KEY}: {VERSION}' and 'workflow' or 'workflows'.")
    if whole[KEY] != VERSION or not isinstance(whole[KEY], int) or whole[KEY] is True:
        raise DocumentError(f"{KEY}: {whole[KEY]!r} is no version of this format; expected {VERSION}.")
    if unknown := set(whole) - {KEY, "workflow", "workflows"}:
        raise DocumentError(f"Unknown key {sorted(unknown)[0]!r}; expected 'workflow' or 'workflows'.")
    if ("workflow" in whole) == ("workflows" in whole):
        raise DocumentError("Expected either 'workflow' or 'workflows'.")
    found = [whole["workflow"]] if "workflow" in whole else whole["workflows"]
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DocumentError("Expected mappings: 'workflow' is one, 'workflows' a list of them.")
    if len(found) > MAX_WORKFLOWS:
        raise DocumentError(f"The document has {len(found)} workflows; at most {MAX_WORKFLOWS} are imported at once.")
    problems: dict[str, list[str]] = {}
    for number, document in enumerate(found):
        problems |= shape_problems(document, f"workflows[{number}]." if "workflows" in whole else "workflow.")
    if problems:
        raise DocumentError("The document cannot be read as workflows.", problems)
    return found


def shape_problems(document: Document, prefix: str = "") -> dict[str, list[str]]:
    """What keeps a mapping from being read as a workflow's document, by path; each path begins with `prefix`."""
    problems = _unknown(document, WORKFLOW_KEYS, prefix)
    for key in ("name", "trigger"):
        if not isinstance(document.get(key), str):
            problems[f"{prefix}{key}"] = ["Required: a text."]
    for key in ("actions", "event_types", "tags"):
        if not isinstance(document.get(key, []), list):
            problems[f"{prefix}{key}"] = ["Expected a list."]
    slugs = document.get("event_types", [])
    if isinstance(slugs, list) and not all(isinstance(slug, str) and 0 < len(slug) <= _LONGEST_SLUG for slug in slugs):
        problems[f"{prefix}event_types"] = ["Expected the slugs of event types, as texts."]
    actions = document.get("actions", [])
    for index, action in enumerate(actions if isinstance(actions, list) else []):
        place = f"{prefix}actions[{index}]"
        if not isinstance(action, dict):
            problems[place] = ["Expected a mapping."]
        else:
            problems |= _unknown(action, ACTION_KEYS, f"{place}.")
    return problems


def _unknown(mapping: Mapping[str, Any], known: Collection[str], prefix: str) -> dict[str, list[str]]:
    return {f"{prefix}{key}": [f"No such field; there are {', '.join(known)}."] for key in mapping if key not in known}


# -- to the fields of a workflow ---------------------------------------------------------------------------------------


def fields_of(document: Document, organizer: User) -> dict[str, Any]:
    """What `workflows.create` and `update` take. What the document leaves out is as it is by default.

    Raises InvalidInput for event types that the organizer has not.
    """
    fields = {**_WORKFLOW_DEFAULTS, **document}
    slugs = [str(slug) for slug in fields["event_types"]]
    found = {row.slug: row for row in EventType.objects.filter(organizer=organizer, slug__in=slugs)}
    if missing := [slug for slug in slugs if slug not in found]:
        own = EventType.objects.filter(organizer=organizer).order_by("slug").values_list("slug", flat=True)[:20]
        texts = [f"There is no event type {slug!r}; yours are: {', '.join(own) or 'none'}." for slug in missing]
        raise InvalidInput("The document names unknown event types.", {"event_types": texts})
    fields["event_types"] = [found[slug] for slug in slugs]
    fields["actions"] = [
        {**action_defaults(), **{key: value for key, value in action.items() if key != SIGNED}}
        for action in fields["actions"]
    ]
    for action, given in zip(fields["actions"], document.get("actions", []), strict=True):
        if "order" not in given:
            del action["order"]
    return fields
