"""Any workflow, under any schedule of losses, duplicates, deaths and disorder, ends as it does without them."""

from __future__ import annotations

import contextlib
import os
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from automation import clock
from automation.durable import control, hooks
from automation.durable.client import (
    SyncClient,
    SyncWorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from automation.durable.common import WorkflowIDConflictPolicy
from automation.errors import Conflict
from automation.models import OPEN_STATUSES, ExecutionStatus, WorkflowExecution
from tests.flows import activities
from tests.flows.models import Posting
from tests.support.carrier import Carrier, Faults, carrying, result, row
from tests.support.rows import clear

EXAMPLES = int(os.environ.get("WEIR_PROPERTY_EXAMPLES", "25"))

values = st.integers(0, 9)
members = st.one_of(
    st.tuples(st.just("echo"), values),
    st.tuples(st.just("flaky"), values, st.integers(1, 2)),
    st.tuples(st.just("refuse"), values),
    st.tuples(st.just("elsewhere"), values),
    st.tuples(st.just("limited"), values),
    st.tuples(st.just("enter"), values.map(str)),
    st.just(("nothing",)),
).map(list)
calls = members.map(lambda member: ["call", *member])
locals_ = st.one_of(
    st.tuples(st.just("echo"), values),
    st.tuples(st.just("flaky"), values, st.integers(1, 2)),
    st.tuples(st.just("refuse"), values),
).map(lambda member: ["local", *member])
sleeps = st.sampled_from([0, 0.5, 3, 40, 90_000]).map(lambda seconds: ["sleep", seconds])
groups = st.lists(members, min_size=1, max_size=6).map(lambda several: ["group", *several])
chains = st.lists(
    st.one_of(members, st.lists(members, min_size=1, max_size=3).map(lambda several: ["group", *several])),
    min_size=1,
    max_size=5,
).map(lambda several: ["chain", *several])
talks = st.lists(values, min_size=1, max_size=4).map(lambda numbers: ["talk", *numbers])
stops = st.sampled_from([0, 2, 40]).map(lambda seconds: ["stop", seconds])
cuts = st.sampled_from([2, 40, 90_000]).map(lambda seconds: ["cut", seconds])
notes = values.map(lambda value: ["note", value])
alone = st.one_of(calls, locals_, sleeps, groups, chains, cuts, notes)


def together(inner: st.SearchStrategy[list[Any]]) -> list[st.SearchStrategy[list[Any]]]:
    return [
        st.lists(inner, min_size=1, max_size=4).map(lambda several: ["all", *several]),
        st.lists(inner, min_size=1, max_size=4).map(lambda several: ["gather", *several]),
        st.tuples(inner, inner).map(lambda two: ["background", *two]),
    ]


plans = st.recursive(
    st.one_of(alone, talks, stops),
    lambda inner: st.one_of(
        *together(inner),
        inner.map(lambda one: ["child", one]),
        inner.map(lambda one: ["started", one]),
        st.tuples(st.integers(1, 3), inner).map(lambda two: ["again", *two]),
        st.tuples(st.integers(1, 3), inner).map(lambda two: ["stubborn", *two]),
    ),
    max_leaves=10,
)
wholes = st.one_of(
    plans,
    # One that fails, until somebody mends what it calls and retries the execution; without children, which are
    # terminated then and begin anew.
    st.tuples(
        st.sampled_from(["all", "gather"]),
        st.lists(st.recursive(alone, lambda inner: st.one_of(*together(inner)), max_leaves=4), max_size=2),
        values,
    ).map(lambda three: [three[0], *three[1], ["broken", three[2]]]),
)
faults = st.builds(
    Faults,
    order=st.sampled_from(["fifo", "random", "lifo"]),
    copies=st.sampled_from([1, 1, 2, 3]),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    deaths=st.sampled_from([0.0, 0.02, 0.1]),
    interleaving=st.sampled_from([0.0, 0.1, 0.5]),
    queries=st.booleans(),
    budget=st.just(5),  # a step that loses its worker more often is a dead letter
    seed=st.integers(0, 2**32),
)


@dataclass(frozen=True)
class Meddling:
    """What people do meanwhile: one of `acts` between two deliveries in `every`."""

    every: int = 0
    acts: tuple[str, ...] = ()
    seed: int = 0


meddlings = st.one_of(
    st.just(Meddling()),
    st.builds(
        Meddling,
        every=st.sampled_from([3, 10]),
        acts=st.lists(
            st.sampled_from(["pause", "resume", "flush", "restart", "sweep"]), min_size=1, max_size=4, unique=True
        ).map(tuple),
        seed=st.integers(0, 2**32),
    ),
)


def meddle(carrier: Carrier, meddling: Meddling, steps: int = 60) -> None:
    """Deliver so many messages, and do things in between."""
    chance = random.Random(meddling.seed)
    for _ in range(steps if meddling.every else 0):
        if not carrier.deliver_one():
            clock.shift(1)
            carrier.sweep()
        if chance.randrange(meddling.every):
            continue
        rows = list(WorkflowExecution.objects.filter(status__in=OPEN_STATUSES).order_by("id"))
        match chance.choice(meddling.acts):
            case "pause" if rows:
                try_to(control.pause, chance.choice(rows).id)
            case "resume" if rows:
                try_to(control.resume, chance.choice(rows).id)
            case "flush":
                carrier.forget_messages()
            case "restart":
                carrier.restart_workers()
            case "sweep":
                clock.shift(chance.choice([0.1, 2, 20]))
                carrier.sweep()
    for paused in WorkflowExecution.objects.filter(paused_at__isnull=False):
        try_to(control.resume, paused.id)


def try_to(act: Callable[[uuid.UUID], None], execution: uuid.UUID) -> None:
    with contextlib.suppress(Conflict):  # its state does not allow it
        act(execution)


def played(plan: list[Any], trouble: Faults, meddling: Meddling) -> tuple[Any, Counter[str], Counter[str]]:
    """The result, the calls and the rows: by activity, each step counted once."""
    clear()
    activities.journal.clear()
    activities.mended.clear()
    with carrying() as carrier:
        execution = carrier.under(trouble).start("flows_script", plan)
        meddle(carrier, meddling)
        carrier.finish(execution)
        if row(execution).status == ExecutionStatus.FAILED:
            activities.mended.update(range(10))
            control.retry(execution)
            meddle(carrier, meddling)
            carrier.finish(execution)
        assert carrier.errors == []
        got = result(execution)
    steps = {(name, key) for name, key, _ in activities.journal}
    return got, Counter(name for name, _ in steps), entered()


def entered() -> Counter[str]:
    """The rows that transactional activities entered, by their notes; each once."""
    postings = Counter(Posting.objects.values_list("key", flat=True))
    assert all(count == 1 for count in postings.values()), f"entered more than once: {postings}"
    return Counter(Posting.objects.values_list("note", flat=True))


generously = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="WEIR_PROPERTY_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


@generously
@given(plan=wholes, trouble=faults, meddling=meddlings)
def test_it_ends_as_it_does_without_faults(plan: list[Any], trouble: Faults, meddling: Meddling) -> None:
    quiet = played(plan, Faults(), Meddling())
    assert played(plan, trouble, meddling) == quiet


messages = st.lists(
    st.one_of(
        st.just(("see", 0)),
        st.integers(-1, 3).map(lambda amount: ("add", amount)),
        st.just(("turn", 0)),
    ),
    max_size=8,
)


def told(wanted: list[tuple[str, int]], trouble: Faults, meddling: Meddling) -> tuple[Any, dict[int, str]]:
    """What a workflow that continues as new comes to, and what its updates answer, when it is told this from outside:
    by a program that begins anew whenever it dies, and then says again what it was saying."""
    clear()
    chance = random.Random(trouble.seed)
    with carrying() as carrier:
        carrier.under(trouble)

        def wait(_seconds: float) -> None:
            if not carrier.deliver_one():
                clock.shift(1)
                carrier.sweep()

        before = hooks.on_wait(wait)
        try:
            client = SyncClient()
            use = WorkflowIDConflictPolicy.USE_EXISTING
            handle = carrier.as_client(
                lambda: client.start_workflow("flows_relay", id="relay", id_conflict_policy=use, result_type=list)
            )
            for number, (name, amount) in enumerate(wanted):
                for _ in range(chance.randrange(4)):
                    carrier.deliver_one()
                if name == "add":
                    carrier.as_client(partial(begin_to_add, handle, number, amount))
                else:
                    carrier.as_client(partial(handle.signal, name, number))
            meddle(carrier, meddling)
            answers = {
                number: carrier.as_client(partial(add, handle, number, amount))
                for number, (name, amount) in enumerate(wanted)
                if name == "add"
            }
            carrier.as_client(partial(close, handle))
            carrier.finish()
            return handle.result(), answers
        finally:
            hooks.on_wait(before)
            assert carrier.errors == []


def begin_to_add(handle: SyncWorkflowHandle, number: int, amount: int) -> None:
    with contextlib.suppress(WorkflowUpdateFailedError):
        handle.start_update(
            "add", args=[number, amount], id=f"add {number}", wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )


def add(handle: SyncWorkflowHandle, number: int, amount: int) -> str:
    try:
        return str(handle.execute_update("add", args=[number, amount], id=f"add {number}"))
    except WorkflowUpdateFailedError as error:
        return str(error.cause).removeprefix("ValueError: ")


def close(handle: SyncWorkflowHandle) -> None:
    with contextlib.suppress(Conflict):  # the first one, of a program that died, did it
        handle.signal("close")


@generously
@given(wanted=messages, trouble=faults, meddling=meddlings)
def test_what_is_told_from_outside_is_heard_once_and_in_order(
    wanted: list[tuple[str, int]], trouble: Faults, meddling: Meddling
) -> None:
    """Whatever dies or is lost, and whichever run the messages come to."""
    added = {number: amount for number, (name, amount) in enumerate(wanted) if name == "add"}
    kept = [amount for amount in added.values() if amount > 0]
    heard = [number for number, (name, _) in enumerate(wanted) if name == "see"]
    got, answers = told(wanted, trouble, meddling)
    assert got == [heard, sum(kept)]
    assert answers == {
        number: f"added {amount}" if amount > 0 else f"add something, not {amount}" for number, amount in added.items()
    }
    assert entered() == Counter(f"{number}: {amount}" for number, amount in added.items() if amount > 0)
