"""`python -m bench.volume [--executions N] [--only answers,…]`: see the package."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from project.embedded import PostgresServer, RedisServer

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.volume", description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="these measures alone: rules,answers,events,rescheduling,cleanup")
    parser.add_argument("--output", type=Path, default=ROOT / "var" / "bench-volume.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weir-volume-") as directory:
        place = Path(directory)
        place.chmod(0o711)
        with PostgresServer(place / "postgres", fsync=True) as postgres, RedisServer(place / "redis") as redis:
            os.environ |= {
                "DJANGO_SETTINGS_MODULE": "bench.settings",
                "DATABASE_URL": postgres.url,
                "REDIS_URL": redis.url,
                "CELERY_BROKER_URL": redis.url,
                "WEIR_VAR_DIR": str(place / "var"),
                "LOG_LEVEL": "WARNING",
                "API_THROTTLE_USER": "off",
                "API_THROTTLE_ANON": "off",
            }
            return _measure(options.executions, set(options.only.split(",")) - {""}, options.output)


def _measure(executions: int, only: set[str], output: Path) -> int:
    import django

    django.setup()
    from django.core.management import call_command

    from bench.volume import measures, rows

    call_command("migrate", verbosity=0)
    began = time.monotonic()
    past = rows.make(executions)
    print(f"{executions:,} executions and {executions * rows.STEPS:,} steps in {time.monotonic() - began:.0f} s\n")
    missed = 0
    results = []
    for measure in measures.ALL:
        if only and measure.__name__ not in only:
            continue
        for line in measure(past):
            bound = "" if line.bound is None else f"{'≥' if line.at_least else '≤'} {line.bound:,.6g}"
            verdict = {None: "", True: "held", False: "MISSED"}[line.held]
            print(f"{line.what:<48} {line.value:>12,.2f} {line.unit:<10} {bound:>10}  {verdict}", flush=True)
            missed += line.held is False
            results.append({**vars(line), "held": line.held})
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"executions": executions, "lines": results}, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
