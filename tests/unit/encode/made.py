"""What the tests of `encode` work on: source headers, a label map of boxes, a card, and fakes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from services.contracts.card import ModelCard
from services.contracts.events import Event, JobInferred
from services.encode.errors import ResultMissing, SourceGone
from services.encode.model import Document, Names, Original, Task
from services.encode.result import Arrays, FrameName, InferredResult

JOB = "job-1"
MADE_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMES = Names(b"k" * 32)
STUDY, SERIES, FRAME_OF_REFERENCE = "1.2.826.0.1.1", "1.2.826.0.1.2", "1.2.826.0.1.3"
PLANES, ROWS, COLUMNS = 8, 20, 24
SPACING = (2.5, 0.8, 0.7)
LEFT = (slice(1, 5), slice(3, 9), slice(12, 20))
RIGHT = (slice(2, 7), slice(10, 17), slice(2, 9))
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


def card(**changed: Any) -> dict[str, Any]:
    """The card of a model with two labels and two measurements."""
    anatomy = {"code": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"}
    return {
        "name": "ct-lung",
        "version": "1.0.0",
        "title": "Lung segmentation (reference)",
        "author": "Plexus",
        "licence": "Apache-2.0",
        "intended_use": "Research and demonstration. Not for clinical use.",
        "task": "volume-segmentation",
        "selection": 'series.Modality == "CT"',
        "labels": [
            {
                "value": 1,
                "name": "Left lung",
                "category": anatomy,
                "type": {"code": "44029006", "scheme": "SCT", "meaning": "Left lung"},
                "colour": [224, 97, 76],
            },
            {
                "value": 2,
                "name": "Right lung",
                "category": anatomy,
                "type": {"code": "3341006", "scheme": "SCT", "meaning": "Right lung"},
                "colour": [101, 184, 145],
            },
        ],
        "measurements": [
            {
                "name": "volume",
                "quantity": {"code": "118565006", "scheme": "SCT", "meaning": "Volume"},
                "unit": {"code": "mL", "scheme": "UCUM", "meaning": "milliliter"},
            },
            {
                "name": "mean attenuation",
                "quantity": {"code": "112181", "scheme": "DCM", "meaning": "Mean Attenuation Coefficient"},
                "unit": {"code": "[hnsf'U]", "scheme": "UCUM", "meaning": "Hounsfield unit"},
            },
        ],
        "timeout_seconds": 120,
        **changed,
    }


def sop(plane: int) -> str:
    """The original SOP Instance UID of a plane."""
    return f"1.2.826.0.1.4.{plane + 1}"


def pseudonym(plane: int) -> str:
    """The name of a plane in the compute zone."""
    return f"2.25.{1000 + plane}"


def header(plane: int, *, orientation: Sequence[float] = AXIAL, **changed: Any) -> bytes:
    """A synthetic CT slice up to its pixels, as the archive gives it. A `changed` attribute of None is left out."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    position = np.array([-50.0, -60.0, 10.0]) + np.cross(row, column) * SPACING[0] * plane
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = sop(plane)
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": sop(plane),
        "StudyDate": "20250102",
        "StudyTime": "101112",
        "AccessionNumber": "A-77",
        "Modality": "CT",
        "Manufacturer": "Maker",
        "ReferringPhysicianName": "Roe^Richard",
        "StudyDescription": "Thorax nativ",
        "PatientName": "Müller^Jürgen",
        "PatientID": "P-4711",
        "PatientBirthDate": "19500102",
        "PatientSex": "M",
        "PatientAge": "075Y",
        "SliceThickness": "2.5",
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "StudyID": "S1",
        "SeriesNumber": 3,
        # Against the order of the planes: nobody may go by it.
        "InstanceNumber": PLANES - plane,
        "ImagePositionPatient": [f"{value:.6f}" for value in position],
        "ImageOrientationPatient": [str(value) for value in orientation],
        "FrameOfReferenceUID": FRAME_OF_REFERENCE,
        "PositionReferenceIndicator": "",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": ROWS,
        "Columns": COLUMNS,
        "PixelSpacing": [str(value) for value in SPACING[1:]],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleIntercept": "-1024",
        "RescaleSlope": "1",
        **changed,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(ds, keyword, value)
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def headers(**changed: Any) -> list[bytes]:
    """The headers of the source, in the order of the planes."""
    return [header(plane, **changed) for plane in range(PLANES)]


def boxes(*, left: int = 1, right: int = 2) -> NDArray[np.uint8]:
    """A label map with two boxes."""
    labels = np.zeros((PLANES, ROWS, COLUMNS), np.uint8)
    labels[LEFT] = left
    labels[RIGHT] = right
    return labels


def measured() -> NDArray[np.float32]:
    """Measurements of the two labels; the second has no mean attenuation."""
    return np.array([[2011.5, -812.25], [2380.125, np.nan]], np.float32)


def result(
    labels: NDArray[np.uint8 | np.uint16] | None = None,
    measurements: NDArray[np.float32] | None = None,
    told: Mapping[str, Any] | None = None,
    frames: Sequence[str] | None = None,
) -> InferredResult:
    """A model's result, unpacked."""
    labels = boxes() if labels is None else labels
    return said(
        told or card(),
        len(labels),
        frames=None if frames is None else [FrameName(frame) for frame in frames],
        labels=labels,
        measurements=measured() if measurements is None else measurements,
    )


def said(
    told: Mapping[str, Any], planes: int, frames: Sequence[FrameName] | None = None, **arrays: Any
) -> InferredResult:
    """A result of any arrays, of one instance a plane if `frames` do not say otherwise."""
    named = [FrameName(pseudonym(plane)) for plane in range(planes)] if frames is None else frames
    return InferredResult(JOB, ModelCard.from_mapping(told), tuple(named), Arrays(**arrays), MADE_AT)


def original(**changed: Any) -> Original:
    """The way back."""
    values: dict[str, Any] = {
        "study_instance_uid": STUDY,
        "series_instance_uid": SERIES,
        "revision": 1,
        "supersedes": "",
        "sop_instance_uids": {pseudonym(plane): sop(plane) for plane in range(PLANES)},
        **changed,
    }
    return Original(**values)


def task(made: InferredResult | None = None, source: Sequence[bytes] | None = None, **changed: Any) -> Task:
    """All that documents are made of."""
    values: dict[str, Any] = {
        "result": made or result(),
        "original": original(),
        "headers": source or headers(),
        "names": NAMES,
        **changed,
    }
    return Task(**values)


def packed(labels: Any = None, measurements: Any = None, **changed: Any) -> bytes:
    """A result file, as inference writes it."""
    meta = {
        "schema": 1,
        "job_id": JOB,
        "model": "ct-lung",
        "model_version": "1.0.0",
        "frames": [pseudonym(plane) for plane in range(PLANES)],
        "spacing": list(SPACING),
        "card": card(),
        "compute": {},
        **changed,
    }
    file = BytesIO()
    np.savez_compressed(
        file,
        labels=boxes() if labels is None else labels,
        measurements=measured() if measurements is None else measurements,
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
    )
    return file.getvalue()


def inferred(data: bytes, **changed: Any) -> JobInferred:
    """The event that tells of a result."""
    values: dict[str, Any] = {
        "job_id": JOB,
        "model": "ct-lung",
        "model_version": "1.0.0",
        "result": f"jobs/{JOB}/result.npz",
        "digest": hashlib.sha256(data).hexdigest(),
        **changed,
    }
    return JobInferred(**values)


def read(document: Document) -> Dataset:
    """The data set of a document."""
    return dcmread(BytesIO(document.data))


def sample_source(folder: Path) -> list[Dataset]:
    """The headers of the sample chest CT, by position along the patient."""
    slices = [dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")]
    return sorted(slices, key=lambda ds: float(ds.ImagePositionPatient[2]))


@dataclass
class Results:
    """A work store in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)

    async def read(self, key: str) -> tuple[bytes, datetime]:
        if key not in self.objects:
            raise ResultMissing
        return self.objects[key], MADE_AT


@dataclass
class Airlock:
    """Knows one job."""

    known: Original = field(default_factory=original)

    async def reidentify(self, job_id: str) -> Original:
        return self.known


@dataclass
class Archive:
    """Instances in memory, by SOP Instance UID."""

    instances: dict[str, bytes] = field(
        default_factory=lambda: {sop(plane): one for plane, one in enumerate(headers())}
    )
    whole: dict[str, bytes] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)

    async def headers(self, source: Original, sop_instance_uids: Sequence[str]) -> list[bytes]:
        found = [self.instances[uid] for uid in sop_instance_uids if uid in self.instances]
        if len(found) < len(sop_instance_uids):
            raise SourceGone(len(sop_instance_uids) - len(found), len(sop_instance_uids))
        return found

    async def pixels(self, source: Original, sop_instance_uid: str) -> bytes | None:
        self.shown.append(sop_instance_uid)
        return self.whole.get(sop_instance_uid)

    async def holds(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        return sop_instance_uid in self.instances


@dataclass
class Door:
    """A front door that keeps the first of a name."""

    kept: dict[str, Document] = field(default_factory=dict)
    fault: Exception | None = None
    calls: int = 0

    async def store(self, documents: Sequence[Document]) -> None:
        self.calls += 1
        if self.fault is not None:
            raise self.fault
        for document in documents:
            self.kept.setdefault(document.sop_instance_uid, document)


@dataclass
class Said:
    """What was said, and under which message id."""

    facts: dict[str, Event] = field(default_factory=dict)
    mentioned: list[Event] = field(default_factory=list)

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        assert message_id is not None
        self.facts.setdefault(message_id, event)

    async def mention(self, event: Event) -> None:
        self.mentioned.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.facts.values() if isinstance(event, kind)]
