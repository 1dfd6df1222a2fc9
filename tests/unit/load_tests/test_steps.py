"""The steps of a job leave nothing of its turnaround out, and count nothing twice."""

from __future__ import annotations

import pytest

from load_tests.steps import NotTraced, Step, turnaround
from services.contracts import telemetry as names
from services.launcher.spans import Span

SECOND = 1_000_000_000
# name, service, kind, parent, begin, end (seconds), the job's own
SPANS = [
    ("ingest settle", "ingest", "internal", None, 0, 1, False),
    ("settled process", "worklist", "consumer", 0, 1, 9, False),
    ("worklist select", "worklist", "internal", 1, 2, 4, False),
    ("worklist admit", "worklist", "internal", 2, 5, 6, True),
    ("requested process", "anonymise", "consumer", 3, 7, 14, False),
    ("anonymise deidentify", "anonymise", "internal", 4, 8, 14, True),
    ("plexus.archive.v1.Archive/ReadInstance", "archive", "server", 5, 9, 11, False),
    ("plexus.archive.v1.Archive/ReadInstance", "archive", "server", 5, 10, 12, False),
    ("released process", "inference", "consumer", 5, 16, 40, False),
    ("inference assemble", "inference", "internal", 8, 17, 20, True),
    ("inference infer", "inference", "internal", 8, 21, 34, True),
    ("triton queue", "inference", "internal", 10, 22, 24, False),
    ("triton input", "inference", "internal", 10, 24, 25, False),
    ("triton compute", "inference", "internal", 10, 25, 32, False),
    ("triton output", "inference", "internal", 10, 32, 33, False),
    ("inference keep result", "inference", "internal", 8, 35, 36, True),
    ("inferred process", "encode", "consumer", 8, 38, 50, False),
    ("encode SEG", "encode", "internal", 16, 40, 44, True),
    ("Ingest/Store", "encode", "client", 16, 45, 48, False),
]


def trace() -> list[Span]:
    return [
        Span("t", str(number), None if parent is None else str(parent), name, service, begin * SECOND, end * SECOND,
             kind=kind, attributes={names.JOB_ID: "job"} if own else {})
        for number, (name, service, kind, parent, begin, end, own) in enumerate(SPANS)
    ]  # fmt: skip


def test_the_steps_of_a_job_add_up_to_its_turnaround() -> None:
    told = turnaround(trace(), "job")
    assert told.total == 48  # the series settled at 0, its results were stored at 48
    assert told.seconds == {
        Step.SELECT: 4, Step.WAIT_TURN: 2, Step.WAIT_ANONYMISE: 2, Step.FETCH: 3, Step.DEIDENTIFY: 3,
        Step.WAIT_INFERENCE: 2, Step.ASSEMBLE: 4, Step.PRE: 3, Step.QUEUE: 2, Step.COMPUTE: 7, Step.POST: 4,
        Step.WAIT_ENCODE: 2, Step.ENCODE: 7, Step.STORE: 3,
    }  # fmt: skip
    assert told.overhead == 41


def test_where_nobody_tells_of_triton_all_of_the_call_is_the_models() -> None:
    told = turnaround([span for span in trace() if not span.name.startswith("triton ")], "job")
    assert (told.total, told.seconds[Step.COMPUTE], told.seconds[Step.QUEUE]) == (48, 13, 0)


def test_a_trace_without_a_step_says_which() -> None:
    with pytest.raises(NotTraced, match="inference assemble"):
        turnaround([span for span in trace() if span.name != names.SPAN_ASSEMBLE], "job")
