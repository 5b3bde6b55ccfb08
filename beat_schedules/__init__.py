"""What runs when: a module per concern, each with `SCHEDULES`. Times are UTC.

`manage.py sync_schedules` writes them into the rows that beat reads. The rows are those of all namespaces on the
database, so they name no queue: `task_routes` in project/celery.py does, in the namespace whose beat sends.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from automation.services.schedules import Schedule


def schedules() -> list[Schedule]:
    """Every schedule of every module here. Raises ValueError where two have the same name."""
    found: dict[str, tuple[str, Schedule]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{info.name}")
        for schedule in module.SCHEDULES:
            if schedule.name in found:
                other = found[schedule.name][0]
                raise ValueError(f"Schedule {schedule.name!r} is in {other} and in {module.__name__}; rename one.")
            found[schedule.name] = (module.__name__, schedule)
    return [schedule for _, schedule in found.values()]
