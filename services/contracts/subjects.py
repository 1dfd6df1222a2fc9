"""NATS subjects and the streams that keep them. The zone of a subject is the zone of its stream."""

from __future__ import annotations

from dataclasses import dataclass

INSTANCE_STORED = "plexus.instance.stored"
INSTANCE_DELETED = "plexus.instance.deleted"
SERIES_SETTLED = "plexus.series.settled"
JOB_REQUESTED = "plexus.job.requested"
JOB_RELEASED = "plexus.job.released"
JOB_INFERRED = "plexus.job.inferred"
JOB_COMPLETED = "plexus.job.completed"
JOB_FAILED = "plexus.job.failed"
JOB_CANCELLED = "plexus.job.cancelled"
JOB_STOPPED = "plexus.job.stopped"
SHADOW_REQUESTED = "plexus.shadow.requested"
SHADOW_COMPARED = "plexus.shadow.compared"
JOB_PROGRESSED = "plexus.job.progressed"  # in no stream: it may be lost
COMMITMENT_REQUESTED = "plexus.commitment.requested"
RESULTS_DUE = "plexus.results.due"  # plexus.results.due.<queue>
AUDIT_RECORDED = "plexus.audit.recorded"
DEAD = "plexus.dead"  # plexus.dead.<consumer>: what could not be handled, kept for replay

RESULT_QUEUES = tuple(f"{RESULTS_DUE}.{number}" for number in range(1, 5))
"""A destination of results has one of these, so that one that is away or slow holds up no other."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream: its name and the subjects that it keeps."""

    name: str
    subjects: tuple[str, ...]
    max_age_seconds: int


_WEEK = 7 * 24 * 3600

HOSPITAL = Stream(
    "HOSPITAL",
    (
        *(INSTANCE_STORED, INSTANCE_DELETED, SERIES_SETTLED),
        *(JOB_REQUESTED, JOB_COMPLETED, JOB_CANCELLED, COMMITMENT_REQUESTED),
        f"{RESULTS_DUE}.*",
    ),
    _WEEK,
)
COMPUTE = Stream(
    "COMPUTE",
    (JOB_RELEASED, JOB_INFERRED, JOB_FAILED, JOB_STOPPED, SHADOW_REQUESTED, SHADOW_COMPARED),
    _WEEK,
)
AUDIT = Stream("AUDIT", (AUDIT_RECORDED,), _WEEK)
DEAD_LETTERS = Stream("DEAD", (f"{DEAD}.>",), 4 * _WEEK)

STREAMS = (HOSPITAL, COMPUTE, AUDIT, DEAD_LETTERS)
