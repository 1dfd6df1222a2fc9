"""The headers of the source instances, plane by plane, whatever kind of object the planes lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import VLWholeSlideMicroscopyImageStorage

from services.contracts.card import InputKind
from services.encode.errors import CardMismatch, SourceUnusable
from services.encode.model import Task

_UNREADABLE = (InvalidDicomError, EOFError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError)
"""What pydicom raises on bytes that are no data set, and on values that it cannot convert; the texts may quote them."""

_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns")
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_OF_A_SLIDE = (
    "FrameOfReferenceUID",
    "ImageOrientationSlide",
    "SharedFunctionalGroupsSequence",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixOriginSequence",
    "TotalPixelMatrixRows",
)
"""Without these nobody knows where a tile lies on the slide; early converters left some out."""
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
)
"""Type 2 attributes, which highdicom reads without asking whether they are there."""

_AS_THEY_ARE = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime")
"""Attributes whose values highdicom checks. A sender's odd value is the sender's: it stays, or the result would not
match its study in the PACS."""


class Layout(Enum):
    """How the planes of a source lie."""

    VOLUME = auto()
    """Each has a place in the patient."""
    FLAT = auto()
    """A projection, or frames over time: they are referred to by their pixels alone."""
    SLIDE = auto()
    """Tiles of a whole slide image."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a plane lies in the patient, in millimetres (PS3.3 C.7.6.2.1.1)."""

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One plane of the result's grid: a frame of a source instance."""

    instance: Dataset
    frame: int
    place: Place | None


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """The source of a job.

    Attributes:
        instances: its data sets without pixels, each once, in the order in which the planes name them.
        kept: the patient's and the study's attributes whose values are kept from highdicom's checks.
        beside: the data sets of each further input, without pixels: evidence, and nothing that a plane lies on.
    """

    layout: Layout
    instances: tuple[Dataset, ...]
    planes: tuple[Plane, ...]
    kept: Dataset
    beside: tuple[tuple[Dataset, ...], ...] = ()

    @property
    def first(self) -> Dataset:
        """The data set that the patient's and the study's attributes are taken from."""
        return self.instances[0]

    def is_multiframe(self, instance: Dataset) -> bool:
        """Whether a reference to a frame of `instance` needs its number (PS3.3 10.3)."""
        return "NumberOfFrames" in instance

    @property
    def is_one_picture(self) -> bool:
        """Whether it is one picture, if in tiles: no volume, and nothing that goes on over time."""
        alone = len(self.planes) == 1 and self.layout is Layout.FLAT
        return alone or (self.layout is Layout.SLIDE and len(self.instances) == 1)

    def to_patient(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points in index coordinates (plane, row, column) in the patient, between the planes on their line."""
        places = [plane.place for plane in self.planes if plane.place is not None]
        first = places[0]
        row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
        positions = np.array([place.position for place in places])
        if len(places) > 1:
            step = (positions[-1] - positions[0]) / (len(places) - 1)
        else:
            thickness = float(self.first.get("SliceThickness") or 0) or 1.0
            step = np.cross(row, column) * thickness
        vertical, horizontal = first.spacing
        return np.asarray(
            positions[0]
            + points[..., 0:1] * step
            + points[..., 1:2] * vertical * column
            + points[..., 2:3] * horizontal * row
        )


def read_sources(task: Task) -> Sources:
    """The source of a job, its planes in the order of the result's.

    Raises:
        SourceUnusable: an instance cannot be read, or cannot carry a result.
        CardMismatch: the result has another size than the source.
    """
    read = [_read(header) for header in task.headers]
    first = read[0]
    if {(ds.StudyInstanceUID, ds.SeriesInstanceUID) for ds in read} != {
        (task.original.study_instance_uid, task.original.series_instance_uid)
    }:
        raise SourceUnusable("are not of the job's series")
    layout = _layout(task, first)
    if layout is Layout.VOLUME and len({ds.get("FrameOfReferenceUID") for ds in read}) > 1:
        raise SourceUnusable("have more than one frame of reference")
    if layout is Layout.SLIDE:
        _refuse_without(_OF_A_SLIDE, read)
        for ds in read:  # old converters leave the Optical Path module out, and highdicom counts what is in it
            if "OpticalPathSequence" not in ds:
                ds.OpticalPathSequence = [Dataset()]
    by_uid = {str(ds.SOPInstanceUID): ds for ds in read}
    planes = tuple(
        _plane(by_uid.get(task.original.sop_instance_uids.get(frame.sop_instance_uid, "")), frame.number, layout)
        for frame in task.result.frames
    )
    sizes = {(len(planes), ds.Rows, ds.Columns) for ds in read}
    if task.result.shape is not None and sizes != {task.result.shape}:
        raise CardMismatch(f"its {_named(task)} has another size than the source")
    kept = Dataset()
    for keyword in _AS_THEY_ARE:
        kept[keyword] = first[keyword]
        if first[keyword].value:
            first[keyword] = type(first[keyword])(first[keyword].tag, first[keyword].VR, "")
    sources = Sources(layout, tuple(by_uid.values()), planes, kept, _beside(task))
    # What a header says of the distance between slices is often of another series; positions do not lie.
    first.pop("SpacingBetweenSlices", None)
    if layout is Layout.VOLUME and not first.get("SliceThickness"):
        first.SliceThickness = f"{distance(planes):.10g}" if len(planes) > 1 else None
    return sources


def _refuse_without(keywords: Sequence[str], read: Sequence[Dataset]) -> None:
    if missing := [word for word in keywords if any(ds.get(word) in (None, "", []) for ds in read)]:
        raise SourceUnusable(f"lack {', '.join(missing)}")


def _beside(task: Task) -> tuple[tuple[Dataset, ...], ...]:
    read = tuple(tuple(_read(header) for header in headers) for headers in task.beside)
    for one, instances in zip(task.original.inputs, read, strict=True):
        if {(ds.StudyInstanceUID, ds.SeriesInstanceUID) for ds in instances} != {
            (one.study_instance_uid, one.series_instance_uid)
        }:
            raise SourceUnusable(f"of the input {one.name} are not of its series")
    return read


def _named(task: Task) -> str:
    return "label map" if task.result.arrays.labels is not None else "result"


def _layout(task: Task, first: Dataset) -> Layout:
    if first.SOPClassUID == VLWholeSlideMicroscopyImageStorage:
        return Layout.SLIDE
    return Layout.VOLUME if task.result.card.input is InputKind.VOLUME else Layout.FLAT


def _plane(ds: Dataset | None, frame: int, layout: Layout) -> Plane:
    if ds is None or frame > int(ds.get("NumberOfFrames") or 1):
        raise CardMismatch("a plane is of a frame that the source does not have")
    if layout is not Layout.VOLUME:
        return Plane(ds, frame, None)
    if not ds.get("FrameOfReferenceUID"):
        raise SourceUnusable("lack FrameOfReferenceUID")
    found = {keyword: _geometry(ds, frame, keyword) for keyword in GEOMETRY}
    if missing := [keyword for keyword, values in found.items() if not values]:
        raise SourceUnusable(f"lack {', '.join(missing)}")
    return Plane(ds, frame, Place(*found.values()))


_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
    "VOILUTFunction": "FrameVOILUTSequence",
}


def frame_value(ds: Dataset, frame: int, keyword: str) -> object:
    """An attribute of a frame: of its functional groups (PS3.3 C.7.6.16), else of the instance."""
    per_frame = ds.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*per_frame[frame - 1 : frame], *(ds.get("SharedFunctionalGroupsSequence") or [])]
    for group in groups:
        for item in group.get(_GROUPS[keyword]) or []:
            if item.get(keyword) not in (None, ""):
                return item[keyword].value
    return ds.get(keyword)


def window_of(plane: Plane) -> tuple[float, float] | None:
    """The centre and width of the first window of a frame (PS3.3 C.11.2.1.2), or None."""
    centre, width = (
        number_of(frame_value(plane.instance, plane.frame, word)) for word in ("WindowCenter", "WindowWidth")
    )
    return (centre, width) if centre is not None and width is not None and width > 0 else None


def number_of(value: object) -> float | None:
    """The first of the numbers of an attribute, or None."""
    first = value[0] if isinstance(value, Sequence) and not isinstance(value, str) and value else value
    return float(first) if isinstance(first, str | int | float) and first != "" else None


def _geometry(ds: Dataset, frame: int, keyword: str) -> tuple[float, ...]:
    value = frame_value(ds, frame, keyword)
    return tuple(float(part) for part in value) if isinstance(value, Sequence) and len(value) else ()


def distance(planes: Sequence[Plane]) -> float:
    """How far the first two planes are apart, along their normal."""
    one, two = planes[0].place, planes[1].place
    if one is None or two is None:
        return 0.0
    orientation = np.array(one.orientation)
    normal = np.cross(orientation[:3], orientation[3:])
    return float(abs((np.array(two.position) - np.array(one.position)) @ normal))


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
