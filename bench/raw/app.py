"""One Celery app in three dresses, chosen by BENCH_CONTENDER; `celery -A bench.raw.app worker` runs its tasks.

raw      Celery's defaults, results in Redis.
tuned    No results and a prefetch of 16; its worker runs without gossip, mingle and heartbeat.
results  Acknowledged late, results in PostgreSQL by django-celery-results: what is recommended to those who want
         Celery to be durable. Django is set up by DJANGO_SETTINGS_MODULE, and Celery's own fixup looks after the
         database connections.
"""

# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery

from bench import marks

DRESSES: dict[str, dict[str, Any]] = {
    "raw": {"result_backend": os.environ.get("BENCH_REDIS", "")},
    "tuned": {"task_ignore_result": True, "worker_prefetch_multiplier": 16},
    "results": {"task_acks_late": True, "result_backend": "django-db"},
}

app = Celery("bench")
app.conf.update(broker_url=os.environ.get("BENCH_REDIS", ""), **DRESSES[os.environ.get("BENCH_CONTENDER", "raw")])


@app.task
def step(number: int) -> int:
    """Nothing, as Weir's step of the same name."""
    return number


@app.task
def last(number: int) -> int:
    """The last step of a sequence."""
    marks.write()
    return number


@app.task
def join(results: list[int]) -> int:
    """A chord's body."""
    marks.write()
    return len(results)


@app.task
def wake(due: float) -> None:
    """The end of a countdown that was to end at `due` (seconds since the epoch)."""
    marks.write(time.time() - due)
