"""PHI has no way into a log line."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from services.chassis import log as logs
from services.chassis import telemetry
from services.chassis.faults import PermanentFault
from services.chassis.log import Log
from tests.unit.chassis.spans import recorded

SECRET = "Doe^Jane"


@pytest.fixture
def printed() -> io.StringIO:
    """What the process prints."""
    return io.StringIO()


@pytest.fixture
def log(printed: io.StringIO) -> Iterator[Log]:
    """The log of a service, as `main` makes it; the process is as before afterwards."""
    root = logging.getLogger()
    theirs, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    made = logs.configure("tested", "INFO")
    (ours,) = root.handlers
    assert isinstance(ours, logging.StreamHandler)
    ours.setStream(printed)
    root.handlers = [*theirs, ours]
    yield made
    root.removeHandler(ours)
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(False)


def lines(printed: io.StringIO) -> list[dict[str, Any]]:
    """What was printed, line by line."""
    assert SECRET not in printed.getvalue()
    return [json.loads(line) for line in printed.getvalue().splitlines()]


def test_a_line_is_an_event_and_the_fields_that_the_caller_chose(log: Log, printed: io.StringIO) -> None:
    log.info("job.released", job_id="abc", instances=3)
    (line,) = lines(printed)
    assert line["event"] == "job.released"
    assert (line["service"], line["level"], line["job_id"], line["instances"]) == ("tested", "info", "abc", 3)


def test_of_an_exception_type_and_place_are_kept_and_not_the_message(log: Log, printed: io.StringIO) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"no such patient: {SECRET}") from error
    except ValueError as error:
        log.error("it.failed", error)
    (line,) = lines(printed)
    assert line["error"] == "ValueError"
    assert "test_log.py" in line["error_at"][0]


def test_of_a_library_s_line_only_the_place_is_kept(log: Log, printed: io.StringIO) -> None:
    # Not pynetdicom: bridge silences its loggers for the whole process.
    for name in ("pydicom", "nats.aio", "asyncpg", "grpc._cython.cygrpc"):
        logging.getLogger(name).error("patient %s", SECRET)
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger(name).exception("cannot read %s", SECRET)
    found = lines(printed)
    assert len(found) == 8
    assert {line["event"] for line in found} == {"library"}
    assert all("text" not in line and line["place"].startswith("test_log.py:") for line in found)


def test_a_warning_is_a_line_without_its_text(log: Log, printed: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)  # `catch_warnings` has put its own in place
        warnings.warn(f"invalid value {SECRET}", stacklevel=1)
    assert [line["library"] for line in lines(printed)] == ["py.warnings"]


async def test_a_task_whose_exception_nobody_fetched_does_not_tell_it(log: Log, printed: io.StringIO) -> None:
    async def fail() -> None:
        raise ValueError(SECRET)

    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "future": asyncio.ensure_future(fail())}
    )
    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    asyncio.get_running_loop().call_exception_handler({"message": "never retrieved", "future": task})
    assert isinstance(task.exception(), ValueError)
    assert {line["library"] for line in lines(printed)} == {"asyncio"}


def test_what_nobody_catches_is_a_line_without_its_message(log: Log, printed: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert [(line["event"], line["error"]) for line in lines(printed)] == [
        ("thread.failed", "ValueError"),
        ("process.failed", "ValueError"),
    ]


def test_a_line_inside_a_span_has_its_trace_id(log: Log, printed: io.StringIO) -> None:
    with recorded(), telemetry.span("a span"):
        log.info("inside")
        expected = telemetry.trace_id()
    log.info("outside")
    inside, outside = lines(printed)
    assert inside["trace_id"] == expected != ""
    assert "trace_id" not in outside


def test_a_fault_is_logged_by_type_like_any_other(log: Log, printed: io.StringIO) -> None:
    log.error("it.failed", PermanentFault("code", "reason"), code="code")
    assert [(line["error"], line["code"]) for line in lines(printed)] == [("PermanentFault", "code")]
