"""Domains, their queues, and who serves a queue."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable

from django.apps import apps
from django.conf import settings

from automation import clock
from automation.errors import InvalidInput
from automation.models import WorkerHeartbeat

DOMAINS = ("booking", "payment", "practitioner", "stream", "room", "user", "ops", "shared")
"""The canonical names; plurals are accepted wherever a domain is named. Further ones are apps: see `domains`."""

DOMAINS_PACKAGE = "automation.domains."

WORDS = ("workflows", "critical", "background")
"""The queues that belong to no domain, as they are called in commands."""

SILENT_HEARTBEATS = 3
"""Heartbeats that a worker may miss before nobody counts on it. (Its claims are taken away later.)"""


def domains() -> list[str]:
    """The canonical names, then those of further apps in the domains' package."""
    packages = [config.name for config in apps.get_app_configs() if config.name.startswith(DOMAINS_PACKAGE)]
    return list(dict.fromkeys([*DOMAINS, *(name.removeprefix(DOMAINS_PACKAGE).split(".")[0] for name in packages)]))


def domain(name: str, known: Iterable[str] = ()) -> str:
    """The canonical name of a domain, singular or plural. Raises InvalidInput suggesting the nearest. `known`: names
    that are fine as well."""
    names = list(dict.fromkeys([*domains(), *known]))
    wanted = name.strip().lower()
    for found in names:
        if wanted in (found, f"{found}s"):
            return found
    near = difflib.get_close_matches(wanted, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(names)}"
    problem = f"there is no domain named {name!r}; {hint}"
    raise InvalidInput(problem, {"domain": [problem]})


def of_domain(name: str) -> str:
    """The queue of a domain. What is no domain of its own (system, automation, another app) has the default queue."""
    return f"{settings.TASK_QUEUE_PREFIX}-{name}" if name in domains() else str(settings.WORKFLOW_TASK_QUEUE)


def named(text: str) -> str:
    """The queue that an operator means: a domain (`payments`) and a plain word (`critical`) stand for the queue with
    the prefix; anything else is a queue's full name."""
    words = {
        "workflows": settings.WORKFLOW_TASK_QUEUE,
        "critical": settings.WORKFLOW_CRITICAL_QUEUE,
        "background": settings.WORKFLOW_BACKGROUND_QUEUE,
    }
    if text in words:
        return str(words[text])
    for found in domains():
        if text in (found, f"{found}s"):
            return of_domain(found)
    return text


def misspelt(text: str) -> str:
    """The queue or word that `text` is nearly, where it is none that we know; else nothing. Queues of other names are
    fine: whoever starts a worker for one is served by it."""
    known = [*WORDS, *domains(), *all_queues()]
    if named(text) in all_queues():
        return ""
    near = difflib.get_close_matches(text, known, n=1, cutoff=0.8)
    return near[0] if near else ""


def all_queues() -> list[str]:
    """Every queue: the three that belong to no domain, then the domains'."""
    return [*map(named, WORDS), *map(of_domain, domains())]


def served() -> dict[str, list[str]]:
    """The queues that live workers of this namespace consume, each with the names of its nodes."""
    silence = max(1.0, SILENT_HEARTBEATS * settings.DURABLE_HEARTBEAT_INTERVAL)
    oldest = clock.unmoved() - dt.timedelta(seconds=silence)
    found: dict[str, list[str]] = {}
    rows = WorkerHeartbeat.objects.filter(
        namespace=settings.WORKFLOW_NAMESPACE, stopped_at=None, seen_at__gte=oldest
    ).order_by("node")
    for node, queues in rows.values_list("node", "queues"):
        for queue in queues:
            found.setdefault(queue, []).append(node)
    return found
