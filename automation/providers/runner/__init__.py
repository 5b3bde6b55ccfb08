"""Runners: what deployments and provisionings run their commands through, "local", "ssh", or a dotted path.

    ran = get_runner("local").run(Command(argv=["make", "release"], timeout=300))

`settings.OPS_RUNNERS` names those that may be used; by default none.
"""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from automation.providers.runner.base import Command, Ran, Runner, RunnerFailed, RunnerRefused, execute

SHORT_NAMES = {
    "local": "automation.providers.runner.local.LocalRunner",
    "ssh": "automation.providers.runner.ssh.SshRunner",
}


@lru_cache(maxsize=8)
def _runner(path: str) -> Runner:
    try:
        cls = import_string(SHORT_NAMES.get(path, path))
    except ImportError as error:
        raise ImproperlyConfigured(f"OPS_RUNNERS: {path!r} cannot be imported: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, Runner)):
        raise ImproperlyConfigured(f"OPS_RUNNERS: {path!r} is not a subclass of {Runner.__module__}.Runner")
    return cls()


def get_runner(name: str) -> Runner:
    """The runner of that name, one instance per process. Raises RunnerRefused where it may not be used."""
    if name not in settings.OPS_RUNNERS:
        allowed = ", ".join(settings.OPS_RUNNERS) or "none"
        raise RunnerRefused(
            f"the runner {name!r} is not allowed on this worker (allowed: {allowed}); set OPS_RUNNERS={name} where "
            "workflows may run commands"
        )
    return _runner(name)


__all__ = ["Command", "Ran", "Runner", "RunnerFailed", "RunnerRefused", "execute", "get_runner"]
