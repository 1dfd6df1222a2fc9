"""Made-up enhanced multi-frame volumes, projections and loops."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundMultiFrameImageStorage,
)

SopClass = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage, "CR": ComputedRadiographyImageStorage}


def item(**values: Any) -> Dataset:
    """A data set of these attributes."""
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def _base(sop_class: str, modality: str, pixels: NDArray[Any]) -> Dataset:
    ds = item(
        SOPClassUID=sop_class,
        SOPInstanceUID="2.25.77",
        StudyInstanceUID="2.25.1",
        SeriesInstanceUID="2.25.2",
        Modality=modality,
        InstanceNumber=1,
    )
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = "2.25.77"
    bits = 8 * pixels.dtype.itemsize
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    return ds


def _saved(ds: Dataset, pixels: NDArray[Any]) -> bytes:
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def enhanced(
    pixels: NDArray[Any],
    positions: list[list[float]],
    *,
    modality: str = "CT",
    slope: float = 1,
    rescale_type: str = "HU",
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    change: Callable[[Dataset], None] = lambda ds: None,
) -> bytes:
    """An enhanced CT or MR object: geometry and values in functional groups (PS3.3 C.7.6.16)."""
    ds = _base(SopClass[modality], modality, pixels)
    ds.NumberOfFrames, ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=[0.8, 0.7], SliceThickness=2)],
            PlaneOrientationSequence=[item(ImageOrientationPatient=list(orientation))],
            PixelValueTransformationSequence=[
                item(RescaleIntercept=-1000 if modality == "CT" else 0, RescaleSlope=slope, RescaleType=rescale_type)
            ],
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=list(place))]) for place in positions
    ]
    change(ds)
    return _saved(ds, pixels)


def radiograph(pixels: NDArray[Any], change: Callable[[Dataset], None] = lambda ds: None) -> bytes:
    """A CR image."""
    ds = _base(ComputedRadiographyImageStorage, "CR", pixels)
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.ImagerPixelSpacing = [0.2, 0.3]
    change(ds)
    return _saved(ds, pixels)


def loop(pixels: NDArray[Any], change: Callable[[Dataset], None] = lambda ds: None) -> bytes:
    """An ultrasound loop: grey [frames, rows, columns] or with 3 colours last."""
    ds = _base(UltrasoundMultiFrameImageStorage, "US", pixels)
    ds.NumberOfFrames, ds.Rows, ds.Columns = pixels.shape[:3]
    colour = pixels.ndim == 4
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        ds.PlanarConfiguration = 0
    region = item(PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3, PhysicalDeltaX=0.01, PhysicalDeltaY=0.02)
    ds.SequenceOfUltrasoundRegions = [region]
    change(ds)
    return _saved(ds, pixels)
