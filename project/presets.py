"""Workers by preset: how many activities and workflows at once, on which queues, and what that is to Celery.

The mapping of each number is told in docs/workers.md.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings

from automation.services import queues

MOST_PROCESSES = 16
"""Slots up to which a worker is made of processes; above it, of threads."""

PROCESS_MEGABYTES = 75
"""What each process of a prefork worker takes beyond what it shares with the others, about."""

CACHED_WORKFLOWS = 1_000


@dataclass(frozen=True)
class Preset:
    """What a worker of this name does at once, at most. `serves`: words and domains whose
    queues it consumes; none for all there are."""

    name: str
    activities: int
    workflows: int
    serves: tuple[str, ...] = ()
    cached: int = CACHED_WORKFLOWS


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("all", 100, 100),
        Preset("critical", 50, 50, ("critical", "booking", "payment")),
        Preset("background", 200, 100, ("background", "stream", "room")),
        Preset("booking", 50, 50, ("booking",)),
        Preset("payment", 30, 30, ("payment",)),
        Preset("stream", 100, 50, ("stream",)),
        Preset("room", 50, 50, ("room",)),
    )
}


@dataclass(frozen=True)
class WorkerPlan:
    """A worker that is to be started."""

    name: str
    queues: tuple[str, ...]
    activities: int
    workflows: int
    cached: int
    pool: str
    extra: tuple[str, ...] = field(default=())

    @property
    def slots(self) -> int:
        """Celery's concurrency: a slot runs an activity or an advance, never both at a time."""
        return 1 if self.pool == "solo" else max(self.activities, self.workflows)

    def command(self) -> list[str]:
        """The Celery worker's command line."""
        line = [sys.executable, "-m", "celery", "--quiet", "-A", "project", "worker"]
        line += ["--hostname", f"{self.name}@%h", "--queues", ",".join(self.queues)]
        line += ["--pool", self.pool, "--concurrency", str(self.slots), "--task-events"]
        if self.slots > MOST_PROCESSES:
            # Four messages for each slot would keep hundreds from other workers.
            line += ["--prefetch-multiplier", "1"]
        if not any(option.startswith(("-l", "--loglevel")) for option in self.extra):
            line += ["--loglevel", str(settings.LOG_LEVEL)]
        return [*line, "--without-gossip", "--without-mingle", *self.extra]

    def environment(self, outer: Mapping[str, str]) -> dict[str, str]:
        """What the worker's settings are read from: `outer`, with this worker's numbers."""
        processes = self.slots if self.pool == "prefork" else 1
        slots = max(2, math.ceil(self.activities / 2))
        return {
            **outer,
            "DURABLE_MAX_ACTIVITIES": str(self.activities),
            "DURABLE_MAX_WORKFLOWS": str(self.workflows),
            "DURABLE_CACHED_WORKFLOWS": str(max(1, self.cached // processes)),
            # A group is cut into two messages for each of these: one a slot, so that slow members run side by side.
            "DURABLE_WORKER_SLOTS": outer.get("DURABLE_WORKER_SLOTS", str(slots)),
        }


def plan(
    preset: str = "",
    *,
    domains: Sequence[str] = (),
    queue: str = "",
    activities: int | None = None,
    workflows: int | None = None,
    cached: int | None = None,
    pool: str = "",
    name: str = "",
    extra: Sequence[str] = (),
) -> WorkerPlan:
    """What to start. The numbers are the preset's, else those of the preset that has the only domain's name, else those
    of `all`; each can be overridden. The queues are `queue` alone (several with commas), else the domains', else the
    preset's.

    Raises InvalidInput for a domain that there is not; KeyError for such a preset.
    """
    wanted = [queues.domain(domain) for domain in domains]
    own = wanted[0] if len(wanted) == 1 and wanted[0] in PRESETS else "all"
    chosen = PRESETS[preset or own]
    chosen = replace(
        chosen,
        activities=chosen.activities if activities is None else activities,
        workflows=chosen.workflows if workflows is None else workflows,
        cached=chosen.cached if cached is None else cached,
    )
    if queue:
        consumed = [queues.named(one.strip()) for one in queue.split(",") if one.strip()]
    elif wanted:
        consumed = [queues.of_domain(domain) for domain in wanted]
    else:
        consumed = [queues.named(word) for word in chosen.serves] or queues.all_queues()
    return WorkerPlan(
        name=re.sub(r"[^A-Za-z0-9_.-]", "-", name or "-".join(wanted) or queue or chosen.name),
        queues=tuple(dict.fromkeys(consumed)),
        activities=chosen.activities,
        workflows=chosen.workflows,
        cached=chosen.cached,
        pool=pool or ("prefork" if max(chosen.activities, chosen.workflows) <= MOST_PROCESSES else "threads"),
        extra=tuple(extra),
    )
