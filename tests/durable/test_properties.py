"""Any workflow, under any schedule of losses, duplicates, deaths and disorder, ends as it does without them."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.flows import activities
from tests.flows.models import Posting
from tests.support.carrier import Faults, carrying, result
from tests.support.rows import clear

EXAMPLES = int(os.environ.get("WEIR_PROPERTY_EXAMPLES", "40"))

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
plans = st.recursive(
    st.one_of(calls, locals_, sleeps, groups, chains),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(lambda several: ["all", *several]),
        st.lists(inner, min_size=1, max_size=4).map(lambda several: ["gather", *several]),
        st.tuples(inner, inner).map(lambda two: ["background", *two]),
        inner.map(lambda one: ["child", one]),
        inner.map(lambda one: ["started", one]),
    ),
    max_leaves=10,
)
faults = st.builds(
    Faults,
    order=st.sampled_from(["fifo", "random", "lifo"]),
    copies=st.sampled_from([1, 1, 2, 3]),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    deaths=st.sampled_from([0.0, 0.02, 0.1]),
    interleaving=st.sampled_from([0.0, 0.1, 0.5]),
    budget=st.just(5),  # a step that loses its worker more often is a dead letter
    seed=st.integers(0, 2**32),
)


def played(plan: list[Any], trouble: Faults) -> tuple[Any, Counter[str], Counter[str]]:
    """The result, the calls and the rows: by activity, each step counted once."""
    clear()
    activities.journal.clear()
    with carrying() as carrier:
        execution = carrier.under(trouble).start("flows_script", plan)
        carrier.finish(execution)
        assert carrier.errors == []
        got = result(execution)
    steps = {(name, key) for name, key, _ in activities.journal}
    postings = Counter(Posting.objects.values_list("key", flat=True))
    assert all(count == 1 for count in postings.values()), f"entered more than once: {postings}"
    return got, Counter(name for name, _ in steps), Counter(Posting.objects.values_list("note", flat=True))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="WEIR_PROPERTY_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
@given(plan=plans, trouble=faults)
def test_it_ends_as_it_does_without_faults(plan: list[Any], trouble: Faults) -> None:
    quiet = played(plan, Faults())
    assert played(plan, trouble) == quiet
