"""JSON log lines with the trace id, in which PHI has no way in.

Our own lines are an event name and fields that the caller chose. Of a library's line only the place is kept: its text
may quote a header. Of an exception only type and places are kept: its message may quote a value.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType

from opentelemetry import trace

OURS = "plexus"
_TRUSTED = ("uvicorn.error",)
"""Libraries whose texts name addresses, never data. (Not asyncio: it quotes the exceptions of tasks.)"""


class Log:
    """The log of one service."""

    def __init__(self, service: str) -> None:
        self._logger = logging.getLogger(f"{OURS}.{service}")

    def info(self, event: str, **fields: object) -> None:
        """Something happened as it should."""
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        """Something that an operator may want to look at."""
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, error: BaseException | None = None, **fields: object) -> None:
        """Something failed; `error` adds its type and the places it came through, not its message."""
        self._logger.error(event, exc_info=error, extra={"fields": fields})


class _JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
        }
        if record.name.startswith(f"{OURS}."):
            line["event"] = record.getMessage()
            line |= getattr(record, "fields", {})
        elif record.name in _TRUSTED:
            line |= {"event": "library", "library": record.name, "text": record.getMessage()}
        else:
            line |= {"event": "library", "library": record.name, "place": f"{record.filename}:{record.lineno}"}
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = trace.format_trace_id(context.trace_id)
            line["span_id"] = trace.format_span_id(context.span_id)
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            line["error_at"] = _places(record.exc_info[2])
        return json.dumps(line, default=str, ensure_ascii=False)


def _places(trail: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trail)
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-8:]]


def configure(service: str, level: str) -> Log:
    """Send every log line of this process to standard output, as JSON, and return the service's own log."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter(service))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], name != "uvicorn.access"  # the access log would hold query values
    logging.captureWarnings(True)
    log = Log(service)
    # What nobody catches would be printed with its message.
    sys.excepthook = lambda _, error, __: log.error("process.failed", error)
    threading.excepthook = lambda args: log.error("thread.failed", args.exc_value)
    sys.unraisablehook = lambda args: log.error("cleanup.failed", args.exc_value)
    return log
