"""Images for the viewer's tests: a long CT series, an ultrasound loop, a slide with its levels, colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from pydicom import Dataset, FileMetaDataset, Sequence
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from tests.studies import uid_of

CT, US, SLIDE, SECONDARY = (f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2", "3.1", "77.1.6", "7"))
TILE = 256


@dataclass(frozen=True, slots=True)
class Pictures:
    """A study on disk, in one folder."""

    folder: Path
    study_instance_uid: str
    description: str


def _dataset(name: str, sop_class: str, modality: str, number: int = 1, series: str = "1") -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid_of(name, series, number)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid_of(name), uid_of(name, series)
    ds.FrameOfReferenceUID = uid_of(name, "frame of reference")
    ds.PatientName, ds.PatientID, ds.PatientSex, ds.PatientBirthDate = f"Made^{name}", f"MADE-{name}", "O", "19700101"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260301", "101500", "1", ""
    ds.StudyDescription, ds.SeriesDescription, ds.ReferringPhysicianName = name, name, ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber, ds.Manufacturer = modality, 1, number, "Plexus tests"
    return ds


def _grey(ds: Dataset, rows: int, columns: int) -> None:
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1


def _colour(ds: Dataset, rows: int, columns: int, photometric: str) -> None:
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PlanarConfiguration = rows, columns, 3, 0
    ds.PhotometricInterpretation, ds.PixelRepresentation = photometric, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7


def _save(ds: Dataset, folder: Path, syntax: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    ds.file_meta = meta
    folder.mkdir(parents=True, exist_ok=True)
    ds.save_as(folder / f"{len(list(folder.iterdir())):05}.dcm", enforce_file_format=True)


def long_series(folder: Path, slices: int = 600, size: int = 128) -> Pictures:
    """A CT of many slices: a bright ball in water."""
    across = np.linspace(-1, 1, size)
    plane = across[:, None] ** 2 + across[None, :] ** 2
    for number in range(slices):
        ds = _dataset("LONG", CT, "CT", number + 1)
        _grey(ds, size, size)
        depth = -1 + 2 * number / (slices - 1)
        ds.PixelData = np.where(plane + depth**2 < 0.8, 300, -200).astype("<i2").tobytes()
        ds.RescaleSlope, ds.RescaleIntercept, ds.WindowCenter, ds.WindowWidth = "1", "0", "50", "800"
        ds.PixelSpacing, ds.SliceThickness, ds.ImageOrientationPatient = [1, 1], "1", [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient, ds.ImageType = [0, 0, number], ["ORIGINAL", "PRIMARY", "AXIAL"]
        _save(ds, folder, ExplicitVRLittleEndian)
    return Pictures(folder, ds.StudyInstanceUID, "LONG")


def ultrasound(folder: Path, frames: int = 500, rows: int = 240, columns: int = 320) -> Pictures:
    """A colour loop, JPEG Baseline."""
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    coded = []
    for number in range(frames):
        wave = (np.sin((across + down) / 24 + number / 9) * 60 + 100).astype(np.uint8)
        image = np.stack([wave, wave, np.where((across + number) % 97 < 20, 255, wave)], axis=-1).astype(np.uint8)
        coded.append(bytes(imagecodecs.jpeg8_encode(image, level=85, subsampling="422")))
    ds = _dataset("LOOP", US, "US")
    _colour(ds, rows, columns, "YBR_FULL_422")
    ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = frames, "33", 0x00181063
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.LossyImageCompression, ds.LossyImageCompressionRatio, ds.LossyImageCompressionMethod = "01", "10", "ISO_10918_1"
    ds.PixelData = encapsulate(coded)
    _save(ds, folder, JPEGBaseline8Bit)
    return Pictures(folder, ds.StudyInstanceUID, "LOOP")


def colour(folder: Path, size: int = 256) -> Pictures:
    """Four quarters: red, green, blue, white; native RGB."""
    image = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    image[:half, :half, 0] = image[:half, half:, 1] = image[half:, :half, 2] = 255
    image[half:, half:] = 255
    ds = _dataset("COLOUR", SECONDARY, "OT")
    _colour(ds, size, size, "RGB")
    ds.ConversionType, ds.PixelData = "WSD", image.tobytes()
    _save(ds, folder, ExplicitVRLittleEndian)
    return Pictures(folder, ds.StudyInstanceUID, "COLOUR")


def slide(folder: Path, tiles: int = 8) -> Pictures:
    """A slide of `tiles` × `tiles` tiles and its smaller levels, tissue-pink with dark nuclei; JPEG Baseline."""
    size = tiles * TILE
    noise = np.random.default_rng(3)
    image = np.full((size, size, 3), (238, 200, 222), np.uint8)
    down, across = np.ogrid[:9, :9]
    nucleus = (down - 4) ** 2 + (across - 4) ** 2 < 16
    for y, x in noise.integers(0, size - 9, (size * 2, 2)):
        image[y : y + 9, x : x + 9][nucleus] = (90, 40, 130)
    number = 1
    while True:
        _level(folder, image, number, size)
        if image.shape[0] <= TILE:
            break
        image = image.reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
        number += 1
    return Pictures(folder, uid_of("SLIDE"), "SLIDE")


def _level(folder: Path, image: np.ndarray, number: int, size: int) -> None:
    rows, columns = image.shape[:2]
    ds = _dataset("SLIDE", SLIDE, "SM", number)
    _colour(ds, TILE, TILE, "YBR_FULL_422")
    ds.ImageType = [
        "ORIGINAL" if number == 1 else "DERIVED",
        "PRIMARY",
        "VOLUME",
        "NONE" if number == 1 else "RESAMPLED",
    ]
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns, ds.TotalPixelMatrixFocalPlanes = rows, columns, 1
    ds.ImagedVolumeWidth = ds.ImagedVolumeHeight = 10.0
    ds.ImagedVolumeDepth, ds.DimensionOrganizationType = 0.004, "TILED_FULL"
    ds.ImageOrientationSlide, ds.ContainerIdentifier, ds.NumberOfOpticalPaths = [0, -1, 0, -1, 0, 0], "SLIDE", 1
    ds.VolumetricProperties, ds.SpecimenLabelInImage, ds.FocusMethod = "VOLUME", "NO", "AUTO"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "01"
    ds.AcquisitionDateTime, ds.PyramidUID = "20260301101500", uid_of("SLIDE", "pyramid")
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = "20", "20"
    ds.TotalPixelMatrixOriginSequence = Sequence([origin])
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = [10.0 / rows, 10.0 / columns], "0.004"
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    path, light = Dataset(), Dataset()
    light.CodeValue, light.CodingSchemeDesignator, light.CodeMeaning = "111744", "DCM", "Brightfield illumination"
    path.OpticalPathIdentifier, path.IlluminationTypeCodeSequence = "1", Sequence([light])
    ds.OpticalPathSequence = Sequence([path])
    tiles = [
        bytes(
            imagecodecs.jpeg8_encode(
                np.ascontiguousarray(image[y : y + TILE, x : x + TILE]), level=85, subsampling="422"
            )
        )
        for y in range(0, rows, TILE)
        for x in range(0, columns, TILE)
    ]
    ds.NumberOfFrames, ds.PixelData = len(tiles), encapsulate(tiles)
    _save(ds, folder, JPEGBaseline8Bit)
