"""Workflow files with examples, run like tests: what would this workflow do with that booking?

Beside the workflow a file has `tests`. Each invents a booking (context fields, as in the API's `sample`) and says what
is expected of actions, by name:

    weir: 1
    workflow: {…}
    tests:
    - name: A group gets a mail
      booking: {attendee_count: 7, custom_tier: gold}
      at: 2027-01-11T09:00:00Z        # the clock, where it matters
      expect:
        Confirmation: runs
        Heads-up:
          status: runs                # or fails, skipped, skipped_conditions
          recipients: [olga@example.com]
          subject: A group of 7       # a rendered field, whole …
          text: {contains: room}      # … or in part

Nothing is sent, and nothing is left in the database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction

from automation.errors import InvalidInput, WeirError
from automation.models import EventType, User
from automation.rules.values import moment, preview
from automation.services import documents, trials, workflows
from automation.services.documents import Document, DocumentError
from automation.services.trials import ActionTrial, Trial

STATUSES = (trials.RUNS, trials.FAILS, trials.SKIPPED, trials.SKIPPED_CONDITIONS)
SUFFIXES = (".yaml", ".yml", ".json")
ORGANIZER = {"email": "organizer@example.com", "first_name": "Olga", "last_name": "Organizer", "timezone": "UTC"}


@dataclass
class Rehearsal:
    """One example. `problems`: what differs from what was expected; empty when it passed."""

    file: Path
    workflow: str
    name: str
    problems: list[str] = field(default_factory=list)


class _Undone(Exception):
    """What a rehearsal writes is rolled back."""


def files_in(path: Path) -> list[Path]:
    """The workflow files at a path: itself, or those of a directory and those below it. Raises InvalidInput."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InvalidInput(f"There is no file or directory {path}.")
    found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise InvalidInput(f"There is no workflow file ({', '.join(SUFFIXES)}) in {path}.")
    return found


def rehearse(file: Path) -> Iterator[Rehearsal]:
    """Run every example of a file, and check its workflows as if they were imported; yields them as they are done."""
    try:
        found, examples = _read(file)
    except (WeirError, OSError, UnicodeDecodeError) as error:
        yield Rehearsal(file, "", "is read", _texts(error))
        return
    for document in found:
        yield from _rehearse(file, document, examples)


def _read(file: Path) -> tuple[list[Document], list[Mapping[str, Any]]]:
    text = file.read_text("utf-8")
    whole = documents.parse(text)
    examples = whole.pop("tests", []) if isinstance(whole, dict) else []
    if not isinstance(examples, list) or not all(isinstance(one, dict) for one in examples):
        raise DocumentError("'tests' is no list of examples.")
    return documents.unwrap(whole), examples


def _rehearse(file: Path, document: Document, examples: list[Mapping[str, Any]]) -> Iterator[Rehearsal]:
    done: list[Rehearsal] = []
    try:
        with transaction.atomic():
            done.extend(_within(file, document, examples))
            raise _Undone
    except _Undone:
        yield from done


def _within(file: Path, document: Document, examples: list[Mapping[str, Any]]) -> Iterator[Rehearsal]:
    organizer = User.objects.filter(email=ORGANIZER["email"]).first() or User.objects.create_user(**ORGANIZER)
    name = str(document["name"])
    for slug in document.get("event_types", []):
        if not EventType.objects.filter(organizer=organizer, slug=slug).exists():
            title = str(slug).replace("-", " ").title()
            EventType.objects.create(organizer=organizer, name=title, slug=slug, duration=30)
    valid = Rehearsal(file, name, "is valid")
    try:
        fields = documents.fields_of({**document, "is_active": True}, organizer) | {"name": f"{name[:150]} ⟨rehearsal⟩"}
        with transaction.atomic():
            workflow = workflows.create(organizer, **fields)
    except WeirError as error:
        valid.problems = _texts(error)
    yield valid
    if valid.problems:
        return
    subject = trials.subject_of(workflow)
    for number, example in enumerate(examples, 1):
        one = Rehearsal(file, name, str(example.get("name") or f"example {number}"))
        try:
            trial = trials.try_mock(subject, _sample(example), _at(example))
            one.problems = list(_compare(trial, example))
        except WeirError as error:
            one.problems = _texts(error)
        yield one


def _sample(example: Mapping[str, Any]) -> Mapping[str, Any]:
    found = example.get("booking") or {}
    if not isinstance(found, Mapping):
        raise InvalidInput(f"booking: expected a mapping of context fields to values, got {preview(found)}.")
    return found


def _at(example: Mapping[str, Any]) -> dt.datetime | None:
    text = example.get("at")
    if text is None:
        return None
    when = moment(text) if isinstance(text, str) else None
    if not isinstance(when, dt.datetime) or not 2000 <= when.year < 2200:
        raise InvalidInput(f"at: {text!r} is no moment, such as '2027-01-11T09:00:00Z'.")
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)


def _compare(trial: Trial, example: Mapping[str, Any]) -> Iterator[str]:
    if unknown := set(example) - {"name", "booking", "at", "expect"}:
        yield f"{sorted(unknown)[0]!r} is no part of an example; there are name, booking, at, expect"
    expected = example.get("expect")
    if not isinstance(expected, dict) or not expected:
        yield "expect: name at least one action, and what is expected of it"
        return
    actions = {action.name: action for action in trial.actions}
    for name, wanted in expected.items():
        action = actions.get(name)
        if action is None:
            yield f"{name}: there is no such action; there are {', '.join(map(repr, actions)) or 'none'}"
        else:
            for problem in _compare_action(action, {"status": wanted} if isinstance(wanted, str) else wanted):
                yield f"{name}: {problem}"


def _compare_action(action: ActionTrial, wanted: Any) -> Iterator[str]:
    if not isinstance(wanted, dict):
        yield f"expected a status ({', '.join(STATUSES)}) or a mapping, got {wanted!r}"
        return
    shown = {**action.rendered, "status": action.status, "recipients": action.recipients}
    for key, value in wanted.items():
        if key == "status" and value not in STATUSES:
            yield f"{value!r} is no status; there are {', '.join(STATUSES)}"
        elif key not in shown:
            yield f"{key!r} is nothing that it shows; there are {', '.join(shown)}"
        elif isinstance(value, dict) and set(value) == {"contains"}:
            if str(value["contains"]) not in str(shown[key]):
                yield f"{key} does not contain {value['contains']!r}: {shown[key]!r}"
        elif shown[key] != value:
            yield f"{key} is {shown[key]!r}, expected {value!r}{_why(action) if key == 'status' else ''}"


def _why(action: ActionTrial) -> str:
    problems = [str(problem.get("message", "")) for problem in action.problems]
    failed = [str(rule) for rule in action.conditions if not rule.get("result", True)]
    notes = [*problems, *action.notes, *failed]
    return f" ({'; '.join(notes)})" if notes else ""


def _texts(error: Exception) -> list[str]:
    if isinstance(error, WeirError) and error.fields:
        return [f"{name}: {text}" for name, texts in error.fields.items() for text in texts]
    return [str(error)]
