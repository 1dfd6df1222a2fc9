"""Secondary Captures (PS3.3 A.8): the image that a model made, and key pictures for who cannot show anything else."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import pixel_array

from services.encode.adapters.highdicom.authorship import UNVERIFIED, Authorship, reference
from services.encode.adapters.highdicom.source import Layout, Sources, frame_value, number_of, window_of
from services.encode.model import Kind, Task
from services.encode.pictures import grey, key_picture
from services.encode.plan import draws_pictures

Pictures = Mapping[int, NDArray[np.uint8]]


def draw_pictures(task: Task, sources: Sources, planes: tuple[int, ...]) -> Pictures:
    """The key pictures of a job, by plane; those whose pixels could be had."""
    card = task.result.card
    drawn = {}
    for plane in planes:
        base = _base(task, sources, plane)
        if base is not None:
            drawn[plane] = key_picture(task.result, plane, base, (f"{card.name} {card.version}",))
    return drawn


def _base(task: Task, sources: Sources, plane: int) -> NDArray[np.uint8] | None:
    """A plane of the source as a viewer would show it first."""
    ds, frame = sources.planes[plane].instance, sources.planes[plane].frame
    data = task.pictures.get(str(ds.SOPInstanceUID))
    whole = dcmread(BytesIO(data)) if data is not None else Dataset()
    if "PixelData" not in whole:
        return None
    values = pixel_array(whole, index=frame - 1)  # YBR comes as RGB
    if values.ndim == 3:
        return np.asarray(values, np.uint8) if values.dtype == np.uint8 else np.asarray(values >> 8, np.uint8)
    slope, intercept = (number_of(frame_value(ds, frame, word)) for word in ("RescaleSlope", "RescaleIntercept"))
    scaled = values.astype(np.float64) * (1.0 if slope is None else slope) + (intercept or 0.0)
    return grey(scaled, window_of(sources.planes[plane]), inverted=ds.get("PhotometricInterpretation") == "MONOCHROME1")


def build_captures(task: Task, sources: Sources, pictures: Pictures, author: Authorship) -> list[Dataset]:
    """The SC series of a job: the model's image plane by plane, then the key pictures."""
    made = []
    image = task.result.arrays.image
    if image is not None:
        made = [_capture(plane, pixels, sources, author, plane + 1) for plane, pixels in enumerate(image)]
    if draws_pictures(task.result):
        for plane, pixels in pictures.items():
            made.append(_capture(plane, pixels, sources, author, len(made) + 1, burned=True))
    return made


def _capture(
    plane: int, pixels: NDArray[np.uint8 | np.uint16], sources: Sources, author: Authorship, number: int,
    *, burned: bool = False,
) -> Dataset:  # fmt: skip
    source, place = sources.planes[plane].instance, sources.planes[plane].place
    ds: Dataset = hd.sc.SCImage(
        pixel_array=np.ascontiguousarray(pixels),
        photometric_interpretation="RGB" if pixels.ndim == 3 else "MONOCHROME2",
        bits_allocated=8 * pixels.dtype.itemsize,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        patient_orientation=("L", "P"),
        **author.of_patient(sources),
        **author.of_instance(Kind.SC, number),
    )
    ds.copy_patient_and_study_information(sources.first)
    ds.Laterality = source.get("Laterality")
    ds.PatientOrientation = source.get("PatientOrientation") or None
    ds.DateOfSecondaryCapture, ds.TimeOfSecondaryCapture = ds.ContentDate, ds.ContentTime
    ds.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    ds.BurnedInAnnotation = "YES" if burned else (source.get("BurnedInAnnotation") or "NO")
    ds.ImageComments = UNVERIFIED
    ds.DerivationDescription = author.text(f"{author.task.result.card.name} {author.task.result.card.version}", 1024)
    if sources.layout is Layout.VOLUME and place is not None and not burned:
        ds.FrameOfReferenceUID = source.FrameOfReferenceUID
        ds.PositionReferenceIndicator = source.get("PositionReferenceIndicator")
        ds.ImagePositionPatient = [f"{value:.10g}" for value in place.position]
        ds.ImageOrientationPatient = [f"{value:.10g}" for value in place.orientation]
        ds.PixelSpacing = [f"{value:.10g}" for value in place.spacing]
        ds.SliceThickness = source.get("SliceThickness")
    item = reference(source)
    if sources.is_multiframe(source):
        item.ReferencedFrameNumber = sources.planes[plane].frame
    purpose = hd.sr.CodedConcept("121322", "DCM", "Source image for image processing operation")
    item.PurposeOfReferenceCodeSequence = [purpose]
    ds.SourceImageSequence = [item]
    author.sign(ds)
    return ds
