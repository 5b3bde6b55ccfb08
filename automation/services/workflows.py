"""Organizers' workflows: making, changing and deleting them, with their actions.

Every edit is checked as a whole, published as a version, and followed by bringing what is planned in line with it, all
in one transaction (the planning for existing bookings follows in batches of its own).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from automation import audit, secrets
from automation.actions.destinations import SWITCHED_OFF
from automation.errors import InvalidInput, NotFound
from automation.models import EventType, ExecutionStep, User, Workflow, WorkflowAction, WorkflowExecution
from automation.services import alerts, tags, versions, workflow_plans
from automation.services.workflow_checks import (
    check_action,
    check_actions,
    check_choices,
    check_kinds,
    check_name,
    check_permitted,
    check_secret,
)

CHUNK = 1_000
_FIELDS = ("name", "description", "trigger", "delay_minutes", "is_active", "late_policy", "tags")
_ACTION_FIELDS = (*(name for name in versions.ACTION_FIELDS if name != "webhook_secret_encrypted"), "disabled_reason")


def create(organizer: User, *, by: User | None = None, **fields: Any) -> Workflow:
    """A new workflow of `organizer`, published, and planned for the bookings there are.

    fields: `name` and `trigger`, and optionally the others of `Workflow`; `event_types`, a list of EventType or ids;
    `actions`, a list of mappings (see `add_action`). Raises InvalidInput with the problems by path.
    """
    workflow = Workflow(organizer=organizer)
    return _save(workflow, fields, by or organizer)


def update(workflow: Workflow, *, by: User | None = None, **changes: Any) -> Workflow:
    """Change what is named. `actions`, where named, is the whole list: those with an `id` are kept, the others go.

    Switching a workflow off stops what it has planned. Raises InvalidInput with the problems by path.
    """
    with transaction.atomic():
        row = locked(workflow.pk)
        _save(row, changes, by)
    workflow.refresh_from_db()
    return workflow


def delete(workflow: Workflow, *, by: User | None = None) -> None:
    """Delete a workflow with its history; what it has planned is not run. Who did it stays in the audit log."""
    with transaction.atomic():
        row = locked(workflow.pk)
        _audit(row, before=_audited(row), by=by, deleted=True)
        executions = WorkflowExecution.objects.filter(workflow=row).order_by("pk")
        while ids := list(executions.values_list("pk", flat=True)[:CHUNK]):
            steps = ExecutionStep.objects.filter(execution_id__in=ids)
            steps._raw_delete(steps.db)  # nothing refers to steps: no need to read them
            WorkflowExecution.objects.filter(pk__in=ids).delete()
        row.delete()


def add_action(workflow: Workflow, *, by: User | None = None, **fields: Any) -> WorkflowAction:
    """A new action, after the last one where no `order` is given.

    fields: `action_type` and the other fields of `WorkflowAction`; `webhook_secret` in plain text is stored encrypted.
    """
    with transaction.atomic():
        row = locked(workflow.pk)
        before = _audited(row)
        last = row.actions.order_by("-order").first()
        action = WorkflowAction(workflow=row, order=0 if last is None else last.order + 1)
        assign_action(action, fields)
        refuse(check_action(data_of(action)) | check_permitted(row.organizer, action))
        action.save()
        _follow_up(row, by)
        _audit(row, before=before, by=by)
    return action


def update_action(action: WorkflowAction, *, by: User | None = None, **changes: Any) -> WorkflowAction:
    """Change what is named. Switched on again, an action forgets why Weir had switched it off."""
    with transaction.atomic():
        workflow = locked(action.workflow_id)
        before = _audited(workflow)
        row = WorkflowAction.objects.filter(pk=action.pk).first()
        if row is None:
            raise NotFound(f"There is no action {action.pk}.")
        assign_action(row, changes)
        refuse(check_action(data_of(row)) | check_permitted(workflow.organizer, row))
        row.save()
        _follow_up(workflow, by)
        _audit(workflow, before=before, by=by)
    action.refresh_from_db()
    return action


def remove_action(action: WorkflowAction, *, by: User | None = None) -> None:
    """Delete an action. Executions that have begun still run it: they run the version they started with."""
    with transaction.atomic():
        workflow = locked(action.workflow_id)
        before = _audited(workflow)
        action.delete()
        _follow_up(workflow, by)
        _audit(workflow, before=before, by=by)


def reorder(workflow: Workflow, orders: Mapping[UUID, int], *, by: User | None = None) -> Workflow:
    """Give actions, by id, new orders; equal ones run in parallel. Raises InvalidInput for a stranger's action."""
    with transaction.atomic():
        row = locked(workflow.pk)
        before = _audited(row)
        actions = {action.pk: action for action in row.actions.all()}
        if unknown := [str(id_) for id_ in orders if id_ not in actions]:
            raise InvalidInput(
                "Only the workflow's own actions can be put in order.",
                {"actions": [f"{id_} is no action of this workflow." for id_ in unknown]},
            )
        for id_, order in orders.items():
            actions[id_].order = order
        WorkflowAction.objects.bulk_update(actions.values(), ["order"])
        _follow_up(row, by)
        _audit(row, before=before, by=by)
    workflow.refresh_from_db()
    return workflow


def _save(workflow: Workflow, fields: Mapping[str, Any], by: User | None) -> Workflow:
    new = workflow._state.adding
    was_active = not new and workflow.is_active
    before = None if new else _audited(workflow)
    unknown = sorted(set(fields) - {*_FIELDS, "event_types", "actions"})
    if unknown:
        raise InvalidInput("The workflow has unknown fields.", {name: ["No such field."] for name in unknown})
    for name in _FIELDS:
        if name in fields:
            setattr(workflow, name, fields[name])
    problems = field_problems(workflow)
    if "tags" in fields and "tags" not in problems:
        workflow.tags = tags.normal(workflow.tags)
    actions: list[WorkflowAction] | None = None
    if "actions" in fields:
        actions = _actions(workflow, fields["actions"], problems)
        problems |= check_actions([data_of(action) for action in actions])
        for index, action in enumerate(actions):
            problems |= check_permitted(workflow.organizer, action, f"actions[{index}]")
    event_types = event_types_of(workflow, fields["event_types"], problems) if "event_types" in fields else None
    refuse(problems)
    with transaction.atomic():
        try:
            with transaction.atomic():
                workflow.save()
        except IntegrityError:
            # Somebody took the name after it was checked; any other cause is raised as it is.
            refuse(check_name(workflow.organizer_id, workflow.name, workflow))
            raise
        if event_types is not None:
            workflow.event_types.set(event_types)
        if actions is not None:
            workflow.actions.exclude(pk__in=[action.pk for action in actions]).delete()
            for action in actions:
                action.save(force_insert=action._state.adding)  # a given id takes over nobody else's row
        _follow_up(workflow, by)
        _audit(workflow, before=before, by=by)
        if was_active and not workflow.is_active:
            workflow_plans.stop_planned(workflow)
    return workflow


def _follow_up(workflow: Workflow, by: User | None) -> None:
    """Publish the edit, and have the plan brought in line with it."""
    workflow.save(update_fields=["updated_at"])  # an edit of an action is one of the workflow
    versions.publish(workflow, by)
    workflow_plans.mark([workflow.pk])


def _audited(workflow: Workflow) -> dict[str, Any]:
    """What the audit log compares: the workflow as its version holds it, and what no version does."""
    content = versions.snapshot(workflow)
    return {**content, "is_active": workflow.is_active, "tags": workflow.tags}


def _audit(workflow: Workflow, *, before: dict[str, Any] | None, by: User | None, deleted: bool = False) -> None:
    audit.record(
        "workflow",
        workflow.pk,
        organizer_id=workflow.organizer_id,
        actor=by,
        name=workflow.name,
        before=before,
        after=None if deleted else _audited(workflow),
    )


def field_problems(workflow: Workflow) -> dict[str, list[str]]:
    """What is wrong with the workflow's own fields, by name; its name may be another workflow's."""
    if problems := check_kinds(workflow, _FIELDS):
        return problems
    try:
        workflow.full_clean(exclude=["organizer"], validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        problems = error.message_dict
    problems |= check_choices(workflow, _FIELDS)
    if "name" not in problems:
        problems |= check_name(workflow.organizer_id, workflow.name, None if workflow._state.adding else workflow)
    return problems


def _actions(
    workflow: Workflow, given: Sequence[Mapping[str, Any]], problems: dict[str, list[str]]
) -> list[WorkflowAction]:
    """The actions that the list asks for: its own ones by `id`, edited, and new ones, which `new_id` may name: an
    action of a version or a draft keeps its id when it is published."""
    own = {} if workflow._state.adding else {action.pk: action for action in workflow.actions.all()}
    actions: list[WorkflowAction] = []
    for index, data in enumerate(given):
        place = f"actions[{index}]"
        fields = dict(data)
        id_ = fields.pop("id", None)
        new_id = fields.pop("new_id", None)
        new = {"workflow": workflow} if new_id is None else {"workflow": workflow, "id": UUID(str(new_id))}
        action = own.pop(UUID(str(id_)), None) if id_ else WorkflowAction(**new)
        if action is None:
            problems[f"{place}.id"] = [f"{id_} is no action of this workflow, or is named twice."]
            continue
        if id_ is None and "order" not in fields:
            action.order = order_after(actions)
        try:
            assign_action(action, fields)
        except InvalidInput as error:
            problems |= {f"{place}.{name}": texts for name, texts in error.fields.items()}
        actions.append(action)
    return actions


def order_after(actions: Sequence[WorkflowAction]) -> int:
    """The order of an action that follows these and says nothing about it. What one of them was given may be anything:
    it is refused later, with everything else that is wrong."""
    if not actions:
        return 0
    last = actions[-1].order
    return last + 1 if isinstance(last, int) else len(actions)


def assign_action(action: WorkflowAction, fields: Mapping[str, Any]) -> None:
    """Give the action these values. Raises InvalidInput for fields it has not, and for values they cannot hold."""
    given = dict(fields)
    secret = given.pop("webhook_secret", None)
    encrypted = given.pop("webhook_secret_encrypted", None)
    if unknown := sorted(set(given) - set(_ACTION_FIELDS)):
        raise InvalidInput("The action has unknown fields.", {name: ["No such field."] for name in unknown})
    for name, value in given.items():
        setattr(action, name, value)
    if encrypted is not None:
        action.webhook_secret_encrypted = encrypted
    if secret is not None:
        action.webhook_secret_encrypted = secrets.encrypt(check_secret(action.action_type, secret)) if secret else ""
    if given.get("is_active"):
        if action.disabled_reason:
            alerts.close_alert(SWITCHED_OFF, str(action.pk))
        action.disabled_reason = ""
    action.name = action.name or action.action_type.replace("_", " ").capitalize()
    problems = check_kinds(action, given)
    try:
        action.clean_fields(exclude=["workflow"])
    except ValidationError as error:
        problems = error.message_dict | check_choices(action, given) | problems
    if problems:
        raise InvalidInput("The action has invalid fields.", problems)


def data_of(action: WorkflowAction) -> dict[str, Any]:
    """The action as a snapshot holds it."""
    return {"id": str(action.pk), **{name: getattr(action, name) for name in versions.ACTION_FIELDS}}


def event_types_of(workflow: Workflow, given: Iterable[Any], problems: dict[str, list[str]]) -> list[EventType]:
    """The event types, given by row or by id, in a list without repeats."""
    texts = list(dict.fromkeys(str(getattr(event_type, "pk", event_type)) for event_type in given))
    try:
        found = EventType.objects.filter(organizer_id=workflow.organizer_id).in_bulk([UUID(text) for text in texts])
    except ValueError:
        problems["event_types"] = ["Expected the ids of event types, as UUIDs."]
        return []
    own = {str(id_): event_type for id_, event_type in found.items()}
    if unknown := [text for text in texts if text not in own]:
        problems["event_types"] = [f"{text} is no event type of this organizer." for text in unknown]
    return [own[text] for text in texts if text in own]


def locked(workflow_id: UUID) -> Workflow:
    """The row, locked until the transaction ends. Raises NotFound."""
    row = Workflow.objects.select_for_update().filter(pk=workflow_id).first()
    if row is None:
        raise NotFound(f"There is no workflow {workflow_id}.")
    return row


def refuse(problems: Mapping[str, Sequence[str]]) -> None:
    """Raises InvalidInput where there is a problem."""
    if problems:
        raise InvalidInput("The workflow cannot be saved as it is.", problems)
