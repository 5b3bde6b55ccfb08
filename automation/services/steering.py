"""What people and programs do to executions: one service for the API, the pages and the commands.

The Python client has the same verbs by the same engine functions; here arguments come as JSON, are checked against the
handler that takes them, and errors say what would be right.
"""

from __future__ import annotations

import difflib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automation.durable import control, forks, hooks, inbox, payloads, queries, registry, updates
from automation.durable.handlers import QUERY, SIGNAL, UPDATE, Handler, known_names
from automation.durable.updates import UpdateStage
from automation.errors import Conflict, InvalidInput, NotFound, WeirError
from automation.models import WorkflowExecution
from automation.services import parameters

UPDATE_WAIT = 10.0
"""Seconds to wait for an update unless somebody says otherwise."""

UPDATE_WAIT_MAX = 30.0


class QueryFailed(WeirError):
    """The query has no handler, or its handler raised."""

    code = "query_failed"
    status = 422


class UpdateRefused(WeirError):
    """The update's validator refused it: it has left no trace."""

    code = "update_refused"
    status = 422


class UpdateFailed(WeirError):
    """The update was accepted, and its handler failed."""

    code = "update_failed"
    status = 422


@dataclass(frozen=True)
class Updated:
    """What an update has come to. stage: admitted, accepted or completed; `result` is there when it is completed."""

    id: str
    stage: str
    result: Any = None


def signal(execution: uuid.UUID, name: str, args: Sequence[Any] = ()) -> None:
    """Send a signal; it is in the execution's inbox when this returns. Raises NotFound, InvalidInput, and Conflict when
    the execution has ended."""
    row = _row(execution)
    _check(row, SIGNAL, name, args)
    if inbox.signal(execution, name, payloads.encode(list(args), f"arguments of signal {name!r}")) is None:
        row = _row(execution)
        raise Conflict(f"execution {execution} has ended already ({row.status}); it takes no signals")


def query(execution: uuid.UUID, name: str, args: Sequence[Any] = ()) -> Any:
    """Ask an execution's code about its state; the answer in JSON's types. Nothing is changed.

    Raises NotFound, InvalidInput, QueryFailed, and Conflict where its code cannot be asked.
    """
    row = _row(execution)
    _check(row, QUERY, name, args)
    try:
        return payloads.decode(
            queries.ask(execution, name, payloads.encode(list(args), f"arguments of query {name!r}"))
        )
    except queries.QueryFailed as error:
        raise QueryFailed(str(error)) from error


def update(
    execution: uuid.UUID,
    name: str,
    args: Sequence[Any] = (),
    *,
    update_id: str = "",
    wait: float = UPDATE_WAIT,
) -> Updated:
    """Send an update, and wait up to `wait` seconds for what it comes to. With the same `update_id` it is one update,
    however often it is sent, so asking again goes on waiting.

    Raises NotFound, InvalidInput, UpdateRefused, UpdateFailed, and Conflict when the execution has ended.
    """
    row = _row(execution)
    _check(row, UPDATE, name, args)
    is_new, update_id = not update_id, update_id or str(uuid.uuid4())
    text = payloads.encode(list(args), f"arguments of update {name!r}")
    seq = updates.put(execution, name, text, update_id, is_new=is_new)
    pause, deadline = 0.005, time.monotonic() + min(wait, UPDATE_WAIT_MAX)
    while True:
        state = updates.look(execution, seq, update_id)
        if state.error is not None:
            raise (UpdateRefused if state.refused else UpdateFailed)(str(state.error)) from state.error
        if state.stage is UpdateStage.COMPLETED:
            return Updated(update_id, "completed", payloads.decode(state.output))
        if time.monotonic() >= deadline:
            return Updated(update_id, state.stage.name.lower())
        hooks.wait(pause)
        pause = min(pause * 1.5, 0.5)


def restart(
    execution: uuid.UUID,
    *,
    from_step: int | None = None,
    args: Sequence[Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> uuid.UUID:
    """Start a new execution of the same workflow with a copy of the steps before `from_step` (None: from the
    beginning); returns its id. Other arguments come in order (`args`), or by name (`values`), checked against the run
    method. Raises NotFound, InvalidInput, Conflict."""
    if values is not None:
        definition = registry.find_workflow(_row(execution).definition)
        if definition is None:
            raise InvalidInput("the workflow's code is not known here: give its arguments in order")
        args = parameters.bind(definition, {}, values)
    return forks.restart(execution, from_step=from_step, args=args)


cancel: Callable[..., Any] = control.cancel
terminate: Callable[..., Any] = control.terminate
pause: Callable[[uuid.UUID], Any] = control.pause
resume: Callable[[uuid.UUID], Any] = control.resume
retry: Callable[[uuid.UUID], Any] = control.retry
redrive: Callable[[uuid.UUID], Any] = control.redrive


def messages_of(definition: registry.WorkflowDefinition) -> dict[str, list[dict[str, Any]]]:
    """The signals, queries and updates that a workflow's class declares: name, description and parameters of each."""
    return {
        {SIGNAL: "signals", QUERY: "queries", UPDATE: "updates"}[kind]: [
            {
                "name": name,
                "description": table[name].description,
                "parameters": [described(one) for one in parameters.of_function(table[name].function)],
            }
            for name in known_names(table)
        ]
        for kind, table in definition.handlers.items()
    }


def declared_signals(definition: str) -> list[str] | None:
    """The names of the signals that a workflow's class declares. None where it takes any, or its code is not known."""
    found = registry.find_workflow(definition)
    if found is None or None in (table := found.handlers.get(SIGNAL, {})):
        return None
    return list(known_names(table))


def described(parameter: parameters.Parameter) -> dict[str, Any]:
    """A parameter for people and for builders of forms."""
    return {
        "name": parameter.name,
        "type": parameter.type,
        "required": parameter.required,
        "default": None if parameter.required else payloads.decode(payloads.encode(parameter.default)),
    }


def _row(execution: uuid.UUID) -> WorkflowExecution:
    row = WorkflowExecution.objects.only("id", "definition", "status").filter(id=execution).first()
    if row is None:
        raise NotFound(f"there is no execution {execution}")
    return row


def _check(row: WorkflowExecution, kind: str, name: str, args: Sequence[Any]) -> None:
    """Arguments that the handler cannot take are refused here, where the sender can still mend them. A name that no
    method has may be that of a handler which the code sets as it runs, so only what looks misspelt is refused."""
    definition = registry.find_workflow(row.definition)
    table = definition.handlers.get(kind, {}) if definition is not None else {}
    handler = table.get(name)
    if handler is not None:
        _check_arguments(handler, args)
    elif None not in table and not name.startswith("__"):
        near = difflib.get_close_matches(name, known_names(table), n=1)
        if near:
            raise InvalidInput(
                f"{row.definition} has no {kind} {name!r}; did you mean {near[0]!r}?",
                {"name": [f"it takes: {', '.join(known_names(table))}"]},
            )


def _check_arguments(handler: Handler, args: Sequence[Any]) -> None:
    known = parameters.of_function(handler.function)
    listed = ", ".join(map(str, known)) or "no arguments"
    missing = [one.name for one in known[len(args) :] if one.required]
    if missing or len(args) > len(known):
        raise InvalidInput(f"{handler.kind} {handler.name!r} takes {listed}, and was given {len(args)}")
    for position, (parameter, value) in enumerate(zip(known, args, strict=False)):
        try:
            parameters.check(value, parameter.hint)
        except ValueError as error:
            where = f"args.{position}"
            raise InvalidInput(f"{handler.kind} {handler.name!r} takes {listed}", {where: [str(error)]}) from error
