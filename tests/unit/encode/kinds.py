"""A source of each kind with its pixels, and results that say something of each: what must-show 2 is tried on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundMultiFrameImageStorage,
    VLWholeSlideMicroscopyImageStorage,
    XRayAngiographicImageStorage,
)

from services.encode.model import Task
from services.encode.result import FrameName, InferredResult
from tests.unit.encode.made import (
    AXIAL,
    COLUMNS,
    FRAME_OF_REFERENCE,
    OBLIQUE,
    PLANES,
    ROWS,
    SPACING,
    boxes,
    card,
    header,
    original,
    pseudonym,
    said,
    sop,
    task,
)

_OF_ONE_SLICE = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "RescaleIntercept",
    "RescaleSlope",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)


@dataclass(frozen=True)
class Source:
    """A series: its PS3.10 files with pixels, the frames that are the planes of a result, and what a model asks for."""

    files: Sequence[bytes]
    frames: Sequence[FrameName]
    input: str

    def task(self, told: dict[str, Any], **arrays: Any) -> Task:
        """A job on it."""
        made: InferredResult = said({**told, "input": {"kind": self.input}}, 0, frames=self.frames, **arrays)
        uids = [str(dcmread(BytesIO(file), stop_before_pixels=True).SOPInstanceUID) for file in self.files]
        known = {pseudonym(number): uid for number, uid in enumerate(uids)}
        pictures = dict(zip(uids, self.files, strict=True))
        heads = [_without_pixels(file) for file in self.files]
        return task(made, heads, original=original(sop_instance_uids=known), pictures=pictures)


def _without_pixels(file: bytes) -> bytes:
    return _saved(dcmread(BytesIO(file), stop_before_pixels=True))


def _saved(ds: Dataset) -> bytes:
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _grey(planes: int) -> NDArray[np.int16]:
    return (np.arange(planes * ROWS * COLUMNS).reshape(planes, ROWS, COLUMNS) % 1500).astype(np.int16)


def _several(frames: int) -> list[FrameName]:
    return [FrameName(pseudonym(0), frame + 1) for frame in range(frames)]


def ct(orientation: Sequence[float] = AXIAL, *, backwards: bool = False, **changed: Any) -> Source:
    """Single-frame slices, from the feet or from the head."""
    files = []
    for plane in range(PLANES):
        ds = dcmread(BytesIO(header(plane, orientation=orientation, **changed)))
        ds.add_new(0x7FE00010, "OW", _grey(1).tobytes())
        files.append(_saved(ds))
    frames = [FrameName(pseudonym(plane)) for plane in range(PLANES)]
    # The planes of the result go the other way than the instances do.
    return Source(files[::-1] if backwards else files, frames, "volume")


def _one_instance(uid: str, modality: str, frames: int, **changed: Any) -> Dataset:
    ds = dcmread(BytesIO(header(0, SOPClassUID=uid, Modality=modality)))
    for keyword in _OF_ONE_SLICE:
        del ds[keyword]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = uid
    ds.file_meta.MediaStorageSOPInstanceUID = sop(0)
    if frames:
        ds.NumberOfFrames = frames
    for keyword, value in changed.items():
        setattr(ds, keyword, value)
    return ds


def enhanced(orientation: Sequence[float] = OBLIQUE, *, backwards: bool = True) -> Source:
    """An Enhanced CT whose frames run against the planes of the result."""
    ds = _one_instance(EnhancedCTImageStorage, "CT", PLANES, FrameOfReferenceUID=FRAME_OF_REFERENCE)
    groups = []
    for plane in range(PLANES):
        slice_ = dcmread(BytesIO(header(plane, orientation=orientation)))
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = slice_.ImagePositionPatient
        group.PlanePositionSequence = [position]
        groups.append(group)
    measures, turned, shared, values, window = Dataset(), Dataset(), Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = "-274", "1500"
    shared.FrameVOILUTSequence = [window]
    measures.PixelSpacing, measures.SliceThickness = [str(value) for value in SPACING[1:]], "2.5"
    turned.ImageOrientationPatient = [str(value) for value in orientation]
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = "1", "-1024", "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turned]
    shared.PixelValueTransformationSequence = [values]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = groups[::-1] if backwards else groups
    ds.add_new(0x7FE00010, "OW", _grey(PLANES).tobytes())
    frames = _several(PLANES)
    return Source([_saved(ds)], frames[::-1] if backwards else frames, "volume")


def radiograph() -> Source:
    """A CR: one projection without a frame of reference."""
    ds = _one_instance(ComputedRadiographyImageStorage, "CR", 0, PhotometricInterpretation="MONOCHROME1")
    ds.BodyPartExamined, ds.ViewPosition, ds.PixelRepresentation = "CHEST", "PA", 0
    ds.add_new(0x7FE00010, "OW", _grey(1).tobytes())
    return Source([_saved(ds)], [FrameName(pseudonym(0))], "image")


def ultrasound() -> Source:
    """A colour loop: frames over time, without a frame of reference."""
    ds = _one_instance(
        UltrasoundMultiFrameImageStorage, "US", PLANES, SamplesPerPixel=3, PhotometricInterpretation="RGB",
        PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0,
        FrameTime="33", FrameIncrementPointer=0x00181063,
    )  # fmt: skip
    ds.add_new(0x7FE00010, "OW", np.repeat((_grey(PLANES) % 200).astype(np.uint8)[..., None], 3, axis=3).tobytes())
    return Source([_saved(ds)], _several(PLANES), "frames")


def angiography() -> Source:
    """A grey run; its window and its table stand beside its frames, as functional groups were not known yet."""
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4, 0, 16], "US"
    table.add_new("LUTData", "OW", np.linspace(0, 65535, 4).astype("<u2").tobytes())
    ds = _one_instance(
        XRayAngiographicImageStorage, "XA", PLANES, PixelRepresentation=0, WindowCenter="700", WindowWidth="1400",
        FrameTime="33", FrameIncrementPointer=0x00181063, ModalityLUTSequence=[table],
    )  # fmt: skip
    ds.add_new(0x7FE00010, "OW", _grey(PLANES).tobytes())
    return Source([_saved(ds)], _several(PLANES), "frames")


def each_frame_of_its_own(source: Source) -> Source:
    """An enhanced source whose frames each have a rescale and a window, as those of MR have."""
    ds = dcmread(BytesIO(source.files[0]))
    del ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    del ds.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
    for frame, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        values, window = Dataset(), Dataset()
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = str(1 + frame), "0", "US"
        window.WindowCenter, window.WindowWidth = str(2000 * (1 + frame)), str(4000 * (1 + frame))
        group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [values], [window]
    return Source([_saved(ds)], source.frames, source.input)


def slide() -> Source:
    """A tiled whole slide image of two by three tiles."""
    ds = _one_instance(
        VLWholeSlideMicroscopyImageStorage, "SM", 6, SamplesPerPixel=3, PhotometricInterpretation="RGB",
        PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0,
        FrameOfReferenceUID=FRAME_OF_REFERENCE, PositionReferenceIndicator="SLIDE_CORNER",
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], DimensionOrganizationType="TILED_FULL",
        TotalPixelMatrixColumns=3 * COLUMNS, TotalPixelMatrixRows=2 * ROWS, TotalPixelMatrixFocalPlanes=1,
        NumberOfOpticalPaths=1, ImagedVolumeWidth=10.0, ImagedVolumeHeight=10.0, ImagedVolumeDepth=0.001,
        ImageOrientationSlide=[0.0, -1.0, 0.0, -1.0, 0.0, 0.0], ContainerIdentifier="C1",
    )  # fmt: skip
    origin, path, shared, measures = Dataset(), Dataset(), Dataset(), Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = "20", "40"
    ds.TotalPixelMatrixOriginSequence = [origin]
    path.OpticalPathIdentifier = "1"
    ds.OpticalPathSequence = [path]
    measures.PixelSpacing, measures.SliceThickness = ["0.01", "0.01"], "0.001"
    shared.PixelMeasuresSequence = [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.IssuerOfTheContainerIdentifierSequence = []
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = "S1", "1.2.826.0.1.9"
    specimen.IssuerOfTheSpecimenIdentifierSequence, specimen.SpecimenPreparationSequence = [], []
    ds.SpecimenDescriptionSequence = [specimen]
    container = Dataset()
    container.CodeValue, container.CodingSchemeDesignator, container.CodeMeaning = "433466003", "SCT", "Slide"
    ds.ContainerTypeCodeSequence = [container]
    ds.add_new(0x7FE00010, "OW", np.full((6, ROWS, COLUMNS, 3), 200, np.uint8).tobytes())
    return Source([_saved(ds)], _several(6), "frames")


SOURCES: dict[str, Callable[[], Source]] = {
    "CT volume": ct,
    "enhanced CT": enhanced,
    "CR": radiograph,
    "US loop": ultrasound,
    "tiled SM": slide,
}

_FOUND = {"code": "233604007", "scheme": "SCT", "meaning": "Pneumonia"}


def everything(planes: int, *, results: Sequence[str] = (), **told: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A card and arrays that say something of every kind."""
    labels = boxes()[2 : 2 + planes] if planes < PLANES else boxes()
    probabilities = np.stack([(labels == value).astype(np.uint8) * 200 for value in (1, 2)])
    arrays = {
        "labels": labels,
        "probabilities": probabilities,
        "measurements": np.array([[2011.5, -812.25], [2380.125, np.nan]], np.float32),
        "map": np.where(labels > 0, labels * np.float32(1.5), np.float32(np.nan)).astype(np.float32),
        "boxes": np.array([[-0.5, 2.5, 3.5, 0.5, 8.5, 9.5], [0, 4, 5, planes - 1, 9, 10]], np.float32),
        "box_labels": np.array([1, 2], np.uint16),
        "box_scores": np.array([0.5, 0.75], np.float32),
        "classes": np.array([0.875], np.float32),
    }
    mapped = {
        "name": "enhancement",
        "quantity": {"code": "126401", "scheme": "DCM", "meaning": "SUVbw"},
        "unit": {"code": "g/ml{SUVbw}", "scheme": "UCUM", "meaning": "Standardized Uptake Value body weight"},
    }
    found = [{"name": "Pneumonia", "type": _FOUND, "threshold": 0.5}]
    return card(classes=found, map=mapped, results={kind: {} for kind in results}, **told), arrays
