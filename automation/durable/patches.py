"""Changing code under running executions: `patched` and `deprecate_patch`, kept as marker steps."""

from __future__ import annotations

from automation.durable import current
from automation.durable.replay import Run
from automation.models import StepKind, StepStatus

MARKER = str(StepKind.MARKER)
DEPRECATED = '{"deprecated":true}'
_COMPLETED = str(StepStatus.COMPLETED)


def patched(id: str, *, event_groups: object = None) -> bool:
    """Whether this run takes the new way: it does unless it has passed this place before the patch was there.

    The first call for an id decides for the rest of the run.
    """
    run = current.run()
    known = run.patches.get(id)
    if known is None:
        known = run.patches[id] = _mark(run, id, "")
    return known


def deprecate_patch(id: str, *, event_groups: object = None) -> None:
    """Say that no run takes the old way of this patch any more. Once all runs that began before have ended, the call
    can go."""
    run = current.run()
    if id not in run.patches:
        run.patches[id] = _mark(run, id, DEPRECATED)


def _mark(run: Run, id: str, options: str) -> bool:
    """Match a marker with the history, or leave one where the history ends. False where the history goes on without."""
    seq = run.next_seq + 1
    known = run.known(seq)
    while known is not None and known.kind == MARKER and known.name != id and known.options == DEPRECATED:
        seq += 1  # of a patch that the code has dropped meanwhile
        known = run.known(seq)
    if known is not None and known.kind == MARKER and known.name == id:
        run.next_seq = seq
        return True
    if run.replaying or known is not None:
        return False
    seq = run.ask(MARKER, id, options=options)
    command = run.commands[seq]
    command.status, command.completed_at = _COMPLETED, run.now()
    return True
