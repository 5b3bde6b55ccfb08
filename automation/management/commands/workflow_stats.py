"""`manage.py workflow_stats`: how workflows have been doing, and who carries them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from automation.management.base import OperatorCommand
from automation.services import figures, inspection, queues


class Command(OperatorCommand):
    help = (
        "Executions by workflow, as counts: open, completed, failed, stuck (parked or dead letter), other (cancelled, "
        "terminated); with the failure rate, and the average time from start to completion. Then who serves what."
    )
    examples = ("workflow_stats --since 24h", "workflow_stats --domain payments --json")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", default="7d", metavar="WHEN", help="made since: 90m, 24h, 2027-03-01 (7d)")
        parser.add_argument("--domain", default="", metavar="D", help="of one domain; plurals are fine")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        found = figures.by_workflow(inspection.moment(options["since"]), options["domain"])
        served = queues.served()
        if options["as_json"]:
            rows = [{**asdict(one), "failure_rate": one.failure_rate} for one in found]
            self.say_json({"workflows": rows, "queues": served})
            return
        if found:
            titles = ("workflow", "domain", "total", "open", "completed", "failed", "stuck", "other", "fails", "takes")
            self.say_table(titles, [_row(one) for one in found])
        else:
            self.say("No executions.")
        self.say()
        for queue, nodes in sorted(served.items()):
            self.say(f"{queue}: {', '.join(nodes)}")
        if not served:
            self.say("No worker is alive; start one with: python manage.py start_workflows_worker")


def _row(one: figures.Figures) -> tuple[Any, ...]:
    rate = "–" if one.failure_rate is None else f"{one.failure_rate:.0%}"
    took = "–" if one.seconds is None else f"{one.seconds:.1f} s"
    counts = (one.total, one.open, one.completed, one.failed, one.stuck, one.ended_otherwise)
    return (one.workflow, one.domain, *counts, rate, took)
