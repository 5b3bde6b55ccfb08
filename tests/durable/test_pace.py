"""Executions that came together do not wait for a step that is known to be slow."""

from __future__ import annotations

from typing import Any

import pytest

from automation.durable import pace, runner, starts
from tests.support.carrier import Carrier, result


@pytest.mark.parametrize(("last", "sent"), [(0.001, [1, 1, 1]), (60.0, [3, 3, 3])], ids=["quick", "slow"])
def test_what_is_slow_runs_when_the_others_are_on_their_way(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch, last: float, sent: list[int]
) -> None:
    monkeypatch.setitem(pace._took, "flows_echo", last)
    monkeypatch.setattr(pace, "took", lambda _activity, _seconds: None)
    run, seen = runner.run, []

    def noting(*args: Any) -> Any:
        seen.append(len(carrier.published))
        return run(*args)

    monkeypatch.setattr(runner, "run", noting)
    ids = starts.start_many([starts.NewExecution("flows_script", (["call", "echo", n],)) for n in range(3)])
    carrier.drain()

    assert [result(id_) for id_ in ids] == [0, 1, 2]
    assert seen == sent, "how many messages were sent when each step ran"


def test_the_last_attempt_is_what_counts(carrier: Carrier, settings: Any) -> None:
    pace.took("flows_echo", 2000.0)
    carrier.start("flows_script", ["call", "echo", 1])
    settings.DURABLE_CHUNK_BUDGET = 1000.0
    assert pace.is_slow("flows_echo")
    carrier.drain()
    assert not pace.is_slow("flows_echo")
    assert not pace.is_slow("one that never ran")
