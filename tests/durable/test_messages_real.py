"""Signals, queries and updates with real workers, which are killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from automation.durable.client import SyncClient, WorkflowUpdateFailedError, WorkflowUpdateStage
from automation.models import ExecutionStep, WorkflowExecution
from tests.flows.models import Posting
from tests.flows.workflows import Counter
from tests.support.processes import Worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

PATIENCE = 60.0


def steps(id: str) -> list[Any]:
    return list(ExecutionStep.objects.filter(execution__business_id=id).order_by("seq").values())


def test_an_accepted_update_answers_once_though_its_worker_is_killed(worker: Callable[..., Worker]) -> None:
    """Scenario 7: and a refused one leaves no trace."""
    node = worker()
    client = SyncClient()
    handle = client.start_workflow(Counter.run, id="ledger")
    assert handle.execute_update(Counter.add, 1) == "added 1"
    before = steps("ledger")
    with pytest.raises(WorkflowUpdateFailedError, match="add something, not -1"):
        handle.execute_update(Counter.add, -1)
    assert steps("ledger") == before

    update = handle.start_update(
        Counter.add, args=[2, 2.0], wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="through the kill"
    )
    running = ExecutionStep.objects.filter(execution__business_id="ledger", kind="activity", status="running")
    wait_until(running.exists, PATIENCE, lambda: str(steps("ledger")))
    node.kill()
    worker()
    assert update.result() == "added 2"
    assert handle.get_update_handle("through the kill").result() == "added 2"
    # Sent once more with its id, it is the same update.
    assert handle.execute_update(Counter.add, args=[2, 2.0], id="through the kill") == "added 2"
    handle.signal(Counter.close)
    assert handle.result() == {"total": 3, "seen": []}
    assert handle.query(Counter.state) == {"total": 3, "seen": 0}
    assert sorted(Posting.objects.values_list("note", flat=True)) == ["1", "2"]


def test_a_thousand_signals_are_handled_in_order(worker: Callable[..., Worker]) -> None:
    """From two senders at once, with two workers that take turns."""
    worker()
    worker()
    client = SyncClient()
    handle = client.start_workflow(Counter.run, id="crowd")
    began = time.monotonic()

    def send(first: int) -> None:
        try:
            for number in range(first, first + 500):
                handle.signal(Counter.see, number)
        finally:
            connection.close()

    senders = [threading.Thread(target=send, args=(first,)) for first in (0, 500)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    row = WorkflowExecution.objects.get(business_id="crowd")
    unseen = ExecutionStep.objects.filter(execution=row, resolved_seq=None)
    wait_until(lambda: not unseen.exists(), PATIENCE, lambda: f"{unseen.count()} are not seen")
    took = time.monotonic() - began
    inbox = ExecutionStep.objects.filter(execution=row, seq__lt=0).order_by("-seq")
    assert list(inbox.values_list("resolved_seq", flat=True)) == list(range(1, 1001))
    handle.signal(Counter.close)
    seen = handle.result()["seen"]
    assert [number for number in seen if number < 500] == list(range(500))
    assert [number for number in seen if number >= 500] == list(range(500, 1000))
    print(f"{1000 / took:.0f} signals/s, {row.epoch} takeovers before the last")
