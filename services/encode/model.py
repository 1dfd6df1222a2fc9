"""What this service works on: a model's result, the way back to the study, and the documents that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hmac import digest
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from services.contracts.card import Label, Measurement, ModelCard
from services.dicom.uids import keyed_uid
from services.encode.errors import CardMismatch, ResultDamaged


class Kind(StrEnum):
    """The documents that we make: Segmentation (PS3.3 A.51) and Comprehensive 3D SR (PS3.3 A.35.13)."""

    SEG = "SEG"
    SR = "SR"


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

    def instance(self, job_id: str, kind: Kind) -> InstanceName:
        """The series and the instance of a document of the job."""
        return InstanceName(self.uid(job_id, f"{kind} series"), self.uid(job_id, f"{kind} instance"))

    def series_number(self, job_id: str, kind: Kind) -> int:
        """A series number from 70000 that other series of the study hardly have: even for a SEG, odd for its SR."""
        number = int.from_bytes(digest(self.key, f"{job_id} series number".encode(), "sha256")[:4], "big")
        return 70_000 + 2 * (number % 10_000) + (kind is Kind.SR)

    def device(self, model: str, version: str) -> str:
        """The UID of the device observer: this installation with this model (PS3.16 TID 1004)."""
        return keyed_uid(self.key, f"device {model} {version}")

    @property
    def serial(self) -> str:
        """The serial number of this installation; it tells nothing of the key."""
        return digest(self.key, b"serial number", "sha256").hex()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class InferredResult:
    """A model's result, as it crossed the airlock.

    Attributes:
        frames: pseudonymous SOP Instance UIDs, one a plane of `labels`.
        labels: uint8, planes by rows by columns; 0 is nothing.
        measurements: float32, one row a label of the card, one column a measurement of the card.
        made_at: when the result was written.
    """

    job_id: str
    card: ModelCard
    frames: tuple[str, ...]
    labels: NDArray[np.uint8]
    measurements: NDArray[np.float32]
    made_at: datetime

    def __post_init__(self) -> None:
        """Refuse a result that contradicts itself or its card.

        Raises:
            ResultDamaged: the arrays do not fit together.
            CardMismatch: the arrays do not fit the card.
        """
        if self.labels.ndim != 3 or self.labels.dtype != np.uint8 or self.labels.size == 0:
            raise ResultDamaged("holds no label map")
        if len(self.frames) != len(self.labels) or len(set(self.frames)) != len(self.frames):
            raise ResultDamaged("does not say which plane belongs to which instance")
        rows = (len(self.card.labels), len(self.card.measurements))
        if self.measurements.shape != rows or self.measurements.dtype.kind != "f":
            raise CardMismatch(f"measurements are not {rows[0]} by {rows[1]} numbers")


@dataclass(frozen=True, slots=True)
class Finding:
    """One label of the card in one result.

    Attributes:
        number: its segment in the SEG, or None when no voxel has it.
        measured: what could be measured; a NaN of the model is left out.
    """

    label: Label
    voxels: int
    number: int | None
    measured: tuple[tuple[Measurement, float], ...]


def findings_of(result: InferredResult) -> tuple[Finding, ...]:
    """The labels of the card with what the result says of each, in the card's order; segments are numbered from 1.

    Raises:
        CardMismatch: the label map has a value that the card does not name.
    """
    voxels = np.zeros(256, np.int64)
    for plane in result.labels:  # plane by plane: counting turns its input into 64-bit numbers
        voxels += np.bincount(plane.ravel(), minlength=256)
    strange = set(np.flatnonzero(voxels).tolist()) - {0} - {label.value for label in result.card.labels}
    if strange:
        raise CardMismatch(f"{len(strange)} values of the label map are no labels")
    found, number = [], 0
    for label, row in zip(result.card.labels, result.measurements.tolist(), strict=True):
        count = int(voxels[label.value])
        number += count > 0
        measured = tuple(
            (measurement, float(f"{value:.7g}"))  # what a float32 holds; more digits would be made up
            for measurement, value in zip(result.card.measurements, row, strict=True)
            if isfinite(value)
        )
        found.append(Finding(label, count, number if count else None, measured))
    return tuple(found)


def segment_planes(result: InferredResult, findings: Sequence[Finding]) -> NDArray[np.uint8]:
    """The label map with segment numbers for label values. The map itself where they agree, else a second one."""
    numbers = np.zeros(256, np.uint8)
    for finding in findings:
        if finding.number is not None:
            numbers[finding.label.value] = finding.number
    if all(finding.number in (None, finding.label.value) for finding in findings):
        return result.labels
    planes = np.empty_like(result.labels)
    for source, target in zip(result.labels, planes, strict=True):
        np.take(numbers, source, out=target)
    return planes


@dataclass(frozen=True, slots=True)
class Original:
    """The way back: what anonymise knows of the job's source.

    Attributes:
        revision: 1 for the first settled instance set of the series.
        supersedes: the job whose result this one replaces, or empty.
        sop_instance_uids: pseudonymous to original.
    """

    study_instance_uid: str
    series_instance_uid: str
    revision: int
    supersedes: str
    sop_instance_uids: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """All that the documents of a job are made of.

    Attributes:
        headers: PS3.10 bytes of the source instances up to their pixels, in the order of `result.frames`.
        predecessor: the report that this job's report replaces.
    """

    result: InferredResult
    original: Original
    headers: Sequence[bytes]
    names: Names
    predecessor: InstanceName | None = None


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
