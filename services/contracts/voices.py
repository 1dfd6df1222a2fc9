"""Who says what, and who hears what: the rights that each service has on the bus, and no others.

`deploy/nats/permissions.conf` is made from this (`python -m services.launcher.permissions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.contracts import subjects
from services.contracts.subjects import AUDIT, COMPUTE, HOSPITAL


@dataclass(frozen=True, slots=True)
class Hears:
    """A durable consumer.

    Attributes:
        stream: where it reads.
        consumer: its name.
        subject: what it gets.
    """

    stream: str
    consumer: str
    subject: str


@dataclass(frozen=True, slots=True)
class Voice:
    """What a service may do on the bus.

    Attributes:
        says: subjects.
        hears: durable consumers.
        overhears: subjects of which it may miss what was said while it was away.
        makes_streams: it makes the streams at its start; the others wait for them.
    """

    service: str
    says: tuple[str, ...]
    hears: tuple[Hears, ...] = ()
    overhears: tuple[str, ...] = ()
    makes_streams: bool = False


def _hears(service: str, stream: subjects.Stream, subject: str) -> Hears:
    """The consumer of a service: named by the service and the subject."""
    return Hears(stream.name, f"{service}-{subject.removeprefix('plexus.').replace('.', '-')}", subject)


VOICES: Final = (
    Voice(
        "bridge",
        says=(subjects.COMMITMENT_REQUESTED, *subjects.RESULT_QUEUES, subjects.AUDIT_RECORDED),
        hears=(
            _hears("bridge", HOSPITAL, subjects.COMMITMENT_REQUESTED),
            _hears("bridge", HOSPITAL, subjects.JOB_COMPLETED),
            *(_hears("bridge", HOSPITAL, queue) for queue in subjects.RESULT_QUEUES),
        ),
    ),
    Voice(
        "ingest",
        says=(subjects.INSTANCE_STORED, subjects.INSTANCE_DELETED, subjects.SERIES_SETTLED, subjects.AUDIT_RECORDED),
        makes_streams=True,
    ),
    Voice(
        "archive",
        says=(subjects.AUDIT_RECORDED,),
        hears=(
            _hears("archive", HOSPITAL, subjects.SERIES_SETTLED),
            _hears("archive", HOSPITAL, subjects.INSTANCE_DELETED),
        ),
    ),
    Voice(
        "worklist",
        # What a performer outside completes, nobody else of the mesh hears of.
        says=(
            subjects.JOB_REQUESTED,
            subjects.JOB_CANCELLED,
            subjects.JOB_COMPLETED,
            subjects.SHADOW_REQUESTED,
            subjects.AUDIT_RECORDED,
        ),
        hears=(
            _hears("worklist", HOSPITAL, subjects.SERIES_SETTLED),
            _hears("worklist", COMPUTE, subjects.JOB_RELEASED),
            _hears("worklist", COMPUTE, subjects.JOB_INFERRED),
            _hears("worklist", COMPUTE, subjects.JOB_FAILED),
            _hears("worklist", HOSPITAL, subjects.JOB_COMPLETED),
            _hears("worklist", HOSPITAL, subjects.JOB_CANCELLED),
        ),
        overhears=(subjects.JOB_PROGRESSED,),
    ),
    Voice(
        "anonymise",
        # A job that waited for a person goes on because it is requested again.
        says=(
            subjects.JOB_REQUESTED,
            subjects.JOB_RELEASED,
            subjects.JOB_FAILED,
            subjects.JOB_STOPPED,
            subjects.JOB_PROGRESSED,
            subjects.AUDIT_RECORDED,
        ),
        hears=(
            _hears("anonymise", HOSPITAL, subjects.JOB_REQUESTED),
            _hears("anonymise", HOSPITAL, subjects.JOB_CANCELLED),
        ),
    ),
    Voice(
        "inference",
        says=(
            subjects.JOB_INFERRED,
            subjects.JOB_FAILED,
            subjects.JOB_PROGRESSED,
            subjects.SHADOW_COMPARED,
            subjects.AUDIT_RECORDED,
        ),
        hears=(
            _hears("inference", COMPUTE, subjects.JOB_RELEASED),
            _hears("inference", COMPUTE, subjects.SHADOW_REQUESTED),
        ),
        overhears=(subjects.JOB_STOPPED,),  # every process: the job may be in hand in any of them
    ),
    Voice(
        "encode",
        says=(subjects.JOB_COMPLETED, subjects.JOB_FAILED, subjects.JOB_PROGRESSED, subjects.AUDIT_RECORDED),
        hears=(_hears("encode", COMPUTE, subjects.JOB_INFERRED),),
    ),
    Voice(
        "catalogue",
        says=(subjects.AUDIT_RECORDED,),
        hears=(_hears("catalogue", COMPUTE, subjects.SHADOW_COMPARED),),
    ),
    Voice(
        "audit", says=(subjects.AUDIT_RECORDED,), hears=(Hears(AUDIT.name, "audit-recorded", subjects.AUDIT_RECORDED),)
    ),
)
