"""What this service works on: a model's result, the way back to the study, and the documents that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hmac import digest

from services.contracts.card import ResultKind
from services.contracts.events import LeftOut
from services.dicom.uids import keyed_uid
from services.encode.result import InferredResult

Kind = ResultKind
"""The documents that we make; `docs/conformance.md` names the SOP class of each."""


@dataclass(frozen=True, slots=True)
class InstanceName:
    """Where an object stands in its study."""

    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Names:
    """The names of everything that we make: from the job's id, under the installation's key. The same again, always."""

    key: bytes

    def uid(self, job_id: str, role: str) -> str:
        """The UID of what plays `role` in the job."""
        return keyed_uid(self.key, f"{job_id} {role}")

    def instance(self, job_id: str, kind: Kind, number: int = 1) -> InstanceName:
        """The series and the instance of a document of the job: one series a kind."""
        role = f"{kind} instance" + (f" {number}" if number > 1 else "")
        return InstanceName(self.uid(job_id, f"{kind} series"), self.uid(job_id, role))

    def series_number(self, job_id: str, kind: Kind) -> int:
        """A series number from 70000 that other series of the study hardly have; a job's kinds follow one another."""
        number = int.from_bytes(digest(self.key, f"{job_id} series number".encode(), "sha256")[:4], "big")
        return 70_000 + 10 * (number % 10_000) + tuple(Kind).index(kind)

    def device(self, model: str, version: str) -> str:
        """The UID of the device observer: this installation with this model (PS3.16 TID 1004)."""
        return keyed_uid(self.key, f"device {model} {version}")

    def finding(self, series_instance_uid: str, model: str, what: str) -> str:
        """The tracking UID of what a model finds in a series: the same in each revision of it."""
        return keyed_uid(self.key, f"finding {series_instance_uid} {model} {what}")

    @property
    def serial(self) -> str:
        """The serial number of this installation; it tells nothing of the key."""
        return digest(self.key, b"serial number", "sha256").hex()[:16]


@dataclass(frozen=True, slots=True)
class OriginalInput:
    """A series that the job took beside its source.

    Attributes:
        name: of the model card's input.
    """

    name: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Original:
    """The way back: what anonymise knows of the job's source.

    Attributes:
        revision: 1 for the first settled instance set of the series.
        supersedes: the job whose result this one replaces, or empty.
        sop_instance_uids: pseudonymous to original.
        inputs: what the job took beside the source.
    """

    study_instance_uid: str
    series_instance_uid: str
    revision: int
    supersedes: str
    sop_instance_uids: Mapping[str, str]
    inputs: tuple[OriginalInput, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """All that the documents of a job are made of.

    Attributes:
        headers: PS3.10 bytes of the source instances up to their pixels, in the order in which `result.frames` first
            names them.
        predecessors: the documents that this job's documents replace, by kind.
        beside: the headers of each further input of the job, in the order of `original.inputs`.
        pictures: whole PS3.10 files, decoded, of the instances that key pictures are drawn on, by SOP Instance UID.
    """

    result: InferredResult
    original: Original
    headers: Sequence[bytes]
    names: Names
    predecessors: Mapping[Kind, InstanceName] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    beside: Sequence[Sequence[bytes]] = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a job became.

    Attributes:
        documents: in the order in which they are to be stored; at least one.
        left_out: kinds that were asked for beside them and that this source cannot carry, with the reasons.
    """

    documents: tuple[Document, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A DICOM object of ours, ready to be stored.

    Attributes:
        data: the PS3.10 file.
    """

    kind: Kind
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    data: bytes
