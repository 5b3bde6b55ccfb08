"""Medians, ratios and targets of a run: as a table for people and as JSON for machines."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.measures import MEASURES, UNITS, Figures, Measure, Sizes
from bench.stage import Stage

PACKAGES = ("celery", "kombu", "redis", "Django", "psycopg", "django-celery-results")


class Report:
    """Collects the figures of every repetition."""

    def __init__(self, stage: Stage, sizes: Sizes, repetitions: int, *, quick: bool) -> None:
        self._figures: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(list))
        )
        self.machine = _machine(stage)
        self.conditions = {
            "repetitions": repetitions,
            "quick": quick,
            "pool": "two solo workers" if stage.solo else "one worker of two processes",
            "sizes": vars(sizes),
        }

    def add(self, measure: str, contender: str, figures: Figures) -> None:
        for name, value in figures.items():
            self._figures[measure][contender][name].append(value)

    def medians(self, measure: str) -> dict[str, Figures]:
        """By contender, the median of each figure."""
        return {
            contender: {name: statistics.median(values) for name, values in figures.items()}
            for contender, figures in self._figures[measure].items()
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "machine": self.machine,
            "conditions": self.conditions,
            "measures": {name: self._measure_as_json(MEASURES[name]) for name in self._figures},
        }

    def _measure_as_json(self, measure: Measure) -> dict[str, Any]:
        medians = self.medians(measure.name)
        targets = []
        for target in measure.targets:
            value = target.value(medians)
            targets.append(
                {
                    "target": target.label,
                    "bound": f"{target.sign} {target.bound:g}",
                    "value": value,
                    "held": None if value is None else target.held(value),
                }
            )
        return {
            "title": measure.title,
            "figures": {
                contender: {
                    name: {"unit": UNITS[name], "median": medians[contender][name], "all": values}
                    for name, values in figures.items()
                }
                for contender, figures in self._figures[measure.name].items()
            },
            "targets": targets,
        }

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), indent=2) + "\n")

    def missed(self) -> list[str]:
        """The targets that were measured and not held."""
        return [
            f"{measure['title']}: {target['target']}"
            for measure in self.as_json()["measures"].values()
            for target in measure["targets"]
            if target["held"] is False
        ]

    def as_text(self) -> str:
        lines: list[str] = []
        for name in self._figures:
            measure, medians = MEASURES[name], self.medians(name)
            rows = [["", *medians]]
            for figure, unit in UNITS.items():
                if any(figure in figures for figures in medians.values()):
                    rows.append([unit, *(_number(figures.get(figure)) for figures in medians.values())])
            lines += ["", measure.title, *_table(rows)]
            rows = [["target", "bound", "measured", ""]]
            for target in measure.targets:
                value = target.value(medians)
                held = "not measured" if value is None else "held" if target.held(value) else "MISSED"
                rows.append([target.label, f"{target.sign} {target.bound:g}", _number(value), held])
            if measure.targets:
                lines += ["", *_table(rows)]
        return "\n".join(lines[1:])


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    lines.insert(1, "  " + "  ".join("-" * width for width in widths))
    return lines


def _machine(stage: Stage) -> dict[str, Any]:
    major, minor = divmod(stage.server_version, 10_000)
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgresql": f"{major}.{minor}",
        "redis_server": stage.redis_version,
        "packages": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
