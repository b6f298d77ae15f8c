"""Logs as one JSON object a line: time, level, logger, message, and what the caller adds, first of all the run."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import IO

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_PREFECT = ("prefect", "prefect.flow_runs", "prefect.task_runs")
"""Loggers that write to the console by themselves."""


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class RunOfFlow(logging.Filter):
    """Adds the run to what a flow run logs: its name ends with the uid."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass."""
        name = getattr(record, "flow_run_name", None)
        if isinstance(name, str) and not hasattr(record, "run"):
            record.run = name.rpartition(" ")[2]
        return True


def log_as_json(stream: IO[str] | None = None) -> None:
    """Send what this process logs to ``stream``, default standard error, where systemd's journal takes it."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(RunOfFlow())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gbx_services").setLevel(logging.INFO)
    for name in _PREFECT:
        # Those that send logs to Prefect's pages stay.
        logger = logging.getLogger(name)
        logger.handlers[:] = [one for one in logger.handlers if not isinstance(one, logging.StreamHandler)]
        logger.propagate = True
