"""A run's history: what of it is over, what is news, and whether the code asks for what it says."""

from __future__ import annotations

from collections.abc import Iterable

from automation.durable.asks import Asks, is_passed_over
from automation.durable.exceptions import NondeterminismError
from automation.durable.messages import UPDATE_KIND
from automation.durable.records import StepRecord
from automation.models import ENDED_STEP_STATUSES, StepKind

_ENDED = frozenset(str(status) for status in ENDED_STEP_STATUSES)
_LOCAL = str(StepKind.LOCAL_ACTIVITY)


class Recorded(Asks):
    """The side of a run that knows its history. `_recorded`: the code is still within it; at the present, `_history`
    holds only what is not over yet (`_open`)."""

    _open: set[int]
    _lenient: bool

    def _members(self, head: int) -> list[StepRecord]:
        """The steps of a canvas, which are asked for one after the other."""
        members: list[StepRecord] = []
        while (step := self._history.get(head + len(members))) is not None and step.canvas == head:
            members.append(step)
        return members

    def _has_ended(self, step: StepRecord) -> bool:
        if step.seq < 0:
            return True
        if step.canvas == step.seq:
            return all(member.status in _ENDED for member in self._members(step.seq))
        return step.status in _ENDED

    def _is_news(self, step: StepRecord) -> bool:
        if step.seq < 0:  # an update that was cut off by an end has its answer
            return step.kind != UPDATE_KIND or step.status not in _ENDED
        if step.canvas is not None and step.canvas != step.seq:
            return False  # a canvas is seen once, at its first member
        return self._has_ended(step)

    def _forget_what_is_over(self, seqs: Iterable[int]) -> None:
        """At the present nobody looks back: only what is not over yet is kept, of which more will be heard."""
        for seq in seqs:
            step = self._history[seq]
            head = step if step.canvas is None else self._history.get(step.canvas)
            if seq <= self.next_seq and (head is None or head.resolved_seq is not None):
                del self._history[seq]
                self._open.discard(seq)
            else:
                self._open.add(seq)

    # -- whether the code fits -----------------------------------------------------------------------------------------

    def _check_recorded(self) -> None:
        """All that the code asked for in the past must be in its history. Asked once, at the end of it: outcomes that
        one advance saw together left no row of what the code asked for after the first and cancelled after the
        second."""
        if not self._recorded or self._lenient:
            return
        for seq, command in self.commands.items():
            if command.kind == _LOCAL and seq in self.at_once:
                continue  # the visit before had to hand over before it could run this
            self._violate(NondeterminismError(seq, "nothing at that point", f"{command.kind} {command.name!r}"))

    def _check_at_once(self) -> None:
        """Outcomes were seen after this point, so what the code needs at once must be in the history."""
        if self.at_once:
            command = self.commands[self.at_once[0]]
            self._violate(NondeterminismError(command.seq, "nothing at that point", f"{command.kind} {command.name!r}"))

    def _check_all_asked(self) -> None:
        for seq in sorted(self._history):
            if seq > self.next_seq and not is_passed_over(self._history[seq]):
                step = self._history[seq]
                self._violate(NondeterminismError(seq, f"{step.kind} {step.name!r}", "nothing more"))
