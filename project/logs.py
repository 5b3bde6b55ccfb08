"""Log lines: which are worth a line, and as JSON for machines to read."""

from __future__ import annotations

import json
import logging


class WithoutTicks(logging.Filter):
    """Drops Celery's two lines about each sweep that found nothing wrong: beat sends one every other second."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.INFO or record.name not in ("celery.worker.strategy", "celery.app.trace"):
            return True
        return not (isinstance(record.args, dict) and record.args.get("name") == "sweep")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the exception's traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)
