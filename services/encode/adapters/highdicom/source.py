"""The headers of the source instances, as highdicom can use them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from services.encode.errors import CardMismatch, SourceUnusable
from services.encode.model import Task

_UNREADABLE = (InvalidDicomError, EOFError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError)
"""What pydicom raises on bytes that are no data set, and on values that it cannot convert; the texts may quote them."""

_NEEDED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
)
_EMPTY_IF_MISSING = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "SpecificCharacterSet",
    "PositionReferenceIndicator",
    "SliceThickness",
)
"""Type 2 attributes, which highdicom reads without asking whether they are there."""

_AS_THEY_ARE = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime")
"""Attributes whose values highdicom checks. A sender's odd value is the sender's: it stays, or the result would not
match its study in the PACS."""


def read_sources(task: Task) -> list[Dataset]:
    """The source data sets without pixels, in the order of the result's planes.

    Raises:
        SourceUnusable: one cannot be read, or cannot carry a result.
        CardMismatch: the label map has another size than the source.
    """
    sources = [_read(header) for header in task.headers]
    first = sources[0]
    if {(ds.StudyInstanceUID, ds.SeriesInstanceUID) for ds in sources} != {
        (task.original.study_instance_uid, task.original.series_instance_uid)
    }:
        raise SourceUnusable("are not of the job's series")
    if len({ds.FrameOfReferenceUID for ds in sources}) > 1:
        raise SourceUnusable("have more than one frame of reference")
    if {(len(sources), ds.Rows, ds.Columns) for ds in sources} != {task.result.labels.shape}:
        raise CardMismatch("its label map has another size than the source")
    for keyword in _AS_THEY_ARE:
        if first[keyword].value:
            first[keyword].value = ""
    # What a header says of the distance between slices is often of another series; positions do not lie.
    first.pop("SpacingBetweenSlices", None)
    if not first.SliceThickness and len(sources) > 1:
        first.SliceThickness = f"{_distance(*sources[:2]):.10g}"
    return sources


def _distance(ds: Dataset, other: Dataset) -> float:
    """How far two planes are apart, along their normal."""
    orientation = np.array(ds.ImageOrientationPatient, np.float64)
    normal = np.cross(orientation[:3], orientation[3:])
    step = np.array(other.ImagePositionPatient, np.float64) - np.array(ds.ImagePositionPatient, np.float64)
    return float(abs(step @ normal))


def restore(ds: Dataset, header: bytes) -> None:
    """Give `ds` the patient's and the study's attributes whose values were kept from highdicom's checks."""
    source = _read(header)
    for keyword in _AS_THEY_ARE:
        ds[keyword] = source[keyword]


def _read(header: bytes) -> Dataset:
    try:
        ds = dcmread(BytesIO(header), stop_before_pixels=True)
        missing = [keyword for keyword in _NEEDED if ds.get(keyword) in (None, "")]
    except _UNREADABLE:
        raise SourceUnusable("cannot be read") from None
    if missing:
        raise SourceUnusable(f"lack {', '.join(missing)}")
    for keyword in _EMPTY_IF_MISSING:
        if keyword not in ds:
            setattr(ds, keyword, None)
    return ds


def charset_of(ds: Dataset) -> str | Sequence[str] | None:
    """The Specific Character Set of `ds`, or None."""
    value = ds.get("SpecificCharacterSet")
    return value or None
