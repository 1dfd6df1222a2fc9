"""The facts that services say, as frozen values; `proto/…/events.proto` fixes their form on the wire.

A fact carries references (UIDs, digests, locators): never pixels, never PHI. Its id travels as `Nats-Msg-Id`, its trace
context as `traceparent`, its schema as `Plexus-Schema`: see `services.chassis.bus`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from google.protobuf.message import DecodeError, Message

from services.contracts import subjects
from services.contracts.wire.events.v1 import events_pb2 as wire


class UnreadableEventError(ValueError):
    """The bytes are not the event that the subject promises."""


@dataclass(frozen=True, slots=True)
class Event:
    """What every fact has: a subject, a schema, and a form in bytes."""

    subject: ClassVar[str]
    message: ClassVar[Callable[..., Message]]

    @property
    def schema(self) -> str:
        """Full name of the protobuf message, such as `plexus.events.v1.SeriesSettled`."""
        return str(type(self).message().DESCRIPTOR.full_name)

    def to_bytes(self) -> bytes:
        """The event on the wire."""
        return _to_message(self).SerializeToString(deterministic=True)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The event that `data` holds.

        Raises:
            UnreadableEventError: `data` is no such message.
        """
        message = cls.message()
        try:
            message.ParseFromString(data)
        except DecodeError as error:
            raise UnreadableEventError(f"not a {message.DESCRIPTOR.full_name}") from error
        return cls(**{f.name: _from_value(getattr(message, f.name)) for f in fields(cls)})


def _to_message(event: Event) -> Message:
    return type(event).message(**{f.name: _to_value(getattr(event, f.name)) for f in fields(event)})


def _to_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_message(item) if isinstance(item, Event) else item for item in value]
    return str(value) if isinstance(value, StrEnum) else value


def _from_value(value: Any) -> Any:
    if hasattr(value, "add"):  # repeated messages
        return tuple(_part(item) for item in value)
    if hasattr(value, "append"):  # repeated texts
        return tuple(value)
    return value


def _part(item: Any) -> Event:
    cls = _PARTS[item.DESCRIPTOR.name]
    return cls(**{f.name: getattr(item, f.name) for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class InstancesStored(Event):
    """Instances of a series are durable, committed together. Said by ingest. The tuples run side by side."""

    subject: ClassVar[str] = subjects.INSTANCE_STORED
    message: ClassVar[Callable[..., Message]] = wire.InstancesStored
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    sop_class_uids: tuple[str, ...]
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InstancesDeleted(Event):
    """Instances of a series are gone from the index; `whole_series`: nothing is left of it. Said by ingest."""

    subject: ClassVar[str] = subjects.INSTANCE_DELETED
    message: ClassVar[Callable[..., Message]] = wire.InstancesDeleted
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    whole_series: bool = False


@dataclass(frozen=True, slots=True)
class SeriesSettled(Event):
    """What carried the series has ended and nothing new came. Said by ingest."""

    subject: ClassVar[str] = subjects.SERIES_SETTLED
    message: ClassVar[Callable[..., Message]] = wire.SeriesSettled
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    digest: str
    instances: int
    sender: str = ""


@dataclass(frozen=True, slots=True)
class InputSeries(Event):
    """A series that a job takes beside the one that it is about; part of `JobRequested`, never said alone.

    Attributes:
        name: of the card's input.
        digest: of its instance set when the job was made.
    """

    subject: ClassVar[str] = ""
    message: ClassVar[Callable[..., Message]] = wire.InputSeries
    name: str
    study_instance_uid: str
    series_instance_uid: str
    digest: str


@dataclass(frozen=True, slots=True)
class JobRequested(Event):
    """A model is to run on a settled series. Said by worklist."""

    subject: ClassVar[str] = subjects.JOB_REQUESTED
    message: ClassVar[Callable[..., Message]] = wire.JobRequested
    job_id: str
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    series_digest: str
    model: str
    model_version: str
    supersedes: str = ""
    attempt: int = 1
    inputs: tuple[InputSeries, ...] = ()


@dataclass(frozen=True, slots=True)
class JobReleased(Event):
    """The de-identified input lies in the work store. Said by anonymise, across the airlock."""

    subject: ClassVar[str] = subjects.JOB_RELEASED
    message: ClassVar[Callable[..., Message]] = wire.JobReleased
    job_id: str
    model: str
    model_version: str
    input: str
    instances: int
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class JobInferred(Event):
    """The model's result lies in the work store. Said by inference."""

    subject: ClassVar[str] = subjects.JOB_INFERRED
    message: ClassVar[Callable[..., Message]] = wire.JobInferred
    job_id: str
    model: str
    model_version: str
    result: str
    digest: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Result(Event):
    """One DICOM instance that a job made; part of `JobCompleted`, never said alone."""

    subject: ClassVar[str] = ""
    message: ClassVar[Callable[..., Message]] = wire.Result
    kind: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


@dataclass(frozen=True, slots=True)
class LeftOut(Event):
    """A kind of object that the card asks for and that could not be made; part of `JobCompleted`, never said alone."""

    subject: ClassVar[str] = ""
    message: ClassVar[Callable[..., Message]] = wire.LeftOut
    kind: str
    reason_code: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobCompleted(Event):
    """Every result of the job is durable in the archive. Said by encode.

    Attributes:
        left_out: what was to be made beside them, and why it was not; nothing of the finding is missing.
    """

    subject: ClassVar[str] = subjects.JOB_COMPLETED
    message: ClassVar[Callable[..., Message]] = wire.JobCompleted
    job_id: str
    results: tuple[Result, ...] = field(default=())
    left_out: tuple[LeftOut, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class ResultsDue(Event):
    """Results of a job are to go to a destination outside. Said by bridge to itself, in a queue (`RESULT_QUEUES`).

    Attributes:
        destination: its name in the rules: an AE title, or the URL of a DICOMweb service.
    """

    subject: ClassVar[str] = subjects.RESULTS_DUE
    message: ClassVar[Callable[..., Message]] = wire.ResultsDue
    job_id: str
    destination: str
    results: tuple[Result, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class JobFailed(Event):
    """The job cannot go on, and why. Said by whoever found it."""

    subject: ClassVar[str] = subjects.JOB_FAILED
    message: ClassVar[Callable[..., Message]] = wire.JobFailed
    job_id: str
    step: str
    reason_code: str
    reason: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class JobCancelled(Event):
    """The job was stopped: by a person, by a newer revision, by its deadline. Said by worklist."""

    subject: ClassVar[str] = subjects.JOB_CANCELLED
    message: ClassVar[Callable[..., Message]] = wire.JobCancelled
    job_id: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class JobStopped(Event):
    """What works on the job in the compute zone may stop. Said by anonymise, across the airlock."""

    subject: ClassVar[str] = subjects.JOB_STOPPED
    message: ClassVar[Callable[..., Message]] = wire.JobStopped
    job_id: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ShadowRequested(Event):
    """A candidate is to run beside a job that is completed, on its input, without a result. Said by worklist."""

    subject: ClassVar[str] = subjects.SHADOW_REQUESTED
    message: ClassVar[Callable[..., Message]] = wire.ShadowRequested
    job_id: str
    model: str
    model_version: str
    candidate: str


class FigureKind(StrEnum):
    """Of what a figure tells."""

    LABEL = "label"
    MEASUREMENT = "measurement"
    CLASS = "class"


@dataclass(frozen=True, slots=True)
class Figure(Event):
    """What two versions said of one thing; part of `ShadowCompared`, never said alone.

    Attributes:
        active: voxels of a label, value of a measurement, 1 or 0 of a class.
        candidate: the same, as the candidate said it.
        dice: of a label.
    """

    subject: ClassVar[str] = ""
    message: ClassVar[Callable[..., Message]] = wire.Figure
    kind: str
    name: str
    unit: str
    active: float
    candidate: float
    dice: float = 0.0


@dataclass(frozen=True, slots=True)
class ShadowCompared(Event):
    """How near a candidate's answer is to the job's result, or why it gave none. Said by inference."""

    subject: ClassVar[str] = subjects.SHADOW_COMPARED
    message: ClassVar[Callable[..., Message]] = wire.ShadowCompared
    job_id: str
    model: str
    model_version: str
    candidate: str
    reason_code: str = ""
    reason: str = ""
    active_seconds: float = 0.0
    candidate_seconds: float = 0.0
    figures: tuple[Figure, ...] = ()


_PARTS: Final[dict[str, type[Event]]] = {
    "Result": Result,
    "LeftOut": LeftOut,
    "Figure": Figure,
    "InputSeries": InputSeries,
}
"""What repeated messages are, by their names on the wire."""


@dataclass(frozen=True, slots=True)
class JobProgressed(Event):
    """How far a step is. Plain NATS: it may be lost."""

    subject: ClassVar[str] = subjects.JOB_PROGRESSED
    message: ClassVar[Callable[..., Message]] = wire.JobProgressed
    job_id: str
    step: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class CommitmentRequested(Event):
    """A peer asked whether instances are safe here, and waits for a report (PS3.4 J). Said and heard by bridge.

    `references` is what `services.bridge` packs: thousands of UIDs do not fit into a message as they are.
    """

    subject: ClassVar[str] = subjects.COMMITMENT_REQUESTED
    message: ClassVar[Callable[..., Message]] = wire.CommitmentRequested
    ae_title: str
    source: str
    called_ae_title: str
    transaction_uid: str
    references: bytes
    duplicate: bool = False
    proved_by: str = "ae-title"


class Action(StrEnum):
    """What an audit record tells of."""

    STORE = "store"
    QUERY = "query"
    RETRIEVE = "retrieve"
    DEIDENTIFY = "deidentify"
    REIDENTIFY = "reidentify"
    JOB = "job"
    AUDIT_READ = "audit-read"
    ASSOCIATE = "associate"
    """A DIMSE association that was not accepted, or a call that its caller may not make."""
    TRANSFER_IN = "transfer-in"
    """Instances came from another system (PS3.15 A.5.3.7)."""
    TRANSFER_OUT = "transfer-out"
    """Instances went to another system."""
    RESULT = "result"
    """What a job made is stored."""
    LOGIN = "login"
    """A caller was let in: the first time in an hour."""
    DELETE = "delete"
    EXPORT = "export"
    START = "start"
    STOP = "stop"
    CONFIGURE = "configure"
    """A service has started with other settings than the last time; `detail` has their names."""
    AUDIT_ERASE = "audit-erase"
    """The content of the record that `about` names was erased from the log."""


class Outcome(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    REFUSED = "refused"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class AuditRecorded(Event):
    """One access: who, what, when, outcome. Said by every service; `detail` is a fixed word, never a value."""

    subject: ClassVar[str] = subjects.AUDIT_RECORDED
    message: ClassVar[Callable[..., Message]] = wire.AuditRecorded
    record_id: str
    at: str
    service: str
    action: str
    outcome: str
    reason_code: str = ""
    caller: str = ""
    institution: str = ""
    proved_by: str = ""
    source: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    job_id: str = ""
    instances: int = 0
    trace_id: str = ""
    detail: str = ""
    frames: int = 0
    bytes: int = 0
    about: str = ""
    destination: str = ""
    destination_address: str = ""
    settings: tuple[str, ...] = ()
