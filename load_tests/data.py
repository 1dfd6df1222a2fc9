"""What is sent: real chest CT slices under other UIDs, an ultrasound loop, many small studies. Made anew each run."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import imagecodecs
import numpy as np
from pydicom import Dataset, FileMetaDataset, dcmread, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    UltrasoundMultiFrameImageStorage,
)

SAMPLE = Path(__file__).resolve().parents[1] / "tests" / "data" / "ct-chest-cmb"
GIVEN = ("Anna", "José", "Мария", "Wei", "Olga", "Jürgen", "Fatima", "Søren")
FAMILY = ("Smith", "García", "Гусева", "Wang", "Ivanova", "Müller", "Haddad", "Sørensen")


@dataclass(frozen=True, slots=True)
class Instance:
    """A file to send, and where it will be found."""

    study: str
    series: str
    sop: str
    data: bytes

    @property
    def path(self) -> str:
        """Its resource under the root of a DICOMweb service."""
        return f"studies/{self.study}/series/{self.series}/instances/{self.sop}"


def new_uid() -> str:
    """A UID that nobody has."""
    return f"2.25.{uuid4().int}"


@cache
def _slices() -> tuple[Dataset, ...]:
    made = []
    for path in sorted(SAMPLE.glob("*.dcm")):
        ds = dcmread(path)
        ds.decompress()
        made.append(ds)
    return tuple(made)


def ct_series(count: int, *, syntax: str = ExplicitVRLittleEndian, patient: str = "BENCH") -> list[Instance]:
    """A series of 512 × 512 CT slices, 0.5 MB each when native; the slices of the sample, over and over."""
    study, series = new_uid(), new_uid()
    return [_slice(number, study, series, syntax, patient) for number in range(count)]


def _slice(number: int, study: str, series: str, syntax: str, patient: str) -> Instance:
    slices = _slices()
    ds = slices[number % len(slices)]
    sop = new_uid()
    ds.PatientID, ds.PatientName = patient, f"{patient}^Chest"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study, series, sop
    ds.InstanceNumber = number + 1
    return Instance(study, series, sop, _file(ds, syntax, _frame(number % len(slices), syntax)))


@cache
def _stored() -> tuple[Dataset, ...]:
    return tuple(dcmread(path) for path in sorted(SAMPLE.glob("*.dcm")))


def chest_ct(patient: str, slices: int = 100, *, native: bool = False) -> list[Instance]:
    """The sample as a study of another patient, in its own transfer syntax unless `native`.

    More slices than it has are the same ones over again, further up.
    """
    study, series, frame_of_reference = new_uid(), new_uid(), new_uid()
    sample = _slices() if native else _stored()
    heights = sorted(float(ds.ImagePositionPatient[2]) for ds in sample)
    made = []
    for number in range(slices):
        at = number % len(sample)
        ds = sample[at]
        ds.PatientID, ds.PatientName, ds.FrameOfReferenceUID = patient, f"{patient}^Chest", frame_of_reference
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study, series, new_uid()
        syntax = ExplicitVRLittleEndian if native else str(ds.file_meta.TransferSyntaxUID)
        pixels, place = _frame(at, syntax) if native else ds.PixelData, list(ds.ImagePositionPatient)
        rise = (heights[-1] - heights[0] + heights[1] - heights[0]) * (number // len(sample))
        ds.ImagePositionPatient = [*place[:2], float(place[2]) + rise]
        made.append(Instance(study, series, str(ds.SOPInstanceUID), _file(ds, syntax, pixels)))
        ds.ImagePositionPatient = place
    return made


@cache
def _frame(number: int, syntax: str) -> bytes:
    """The pixels of a slice in a transfer syntax; encoded once."""
    ds = _slices()[number]
    if syntax == ExplicitVRLittleEndian:
        return bytes(ds.PixelData)
    pixels = ds.pixel_array
    if syntax == JPEG2000Lossless:
        coded = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True)
    elif syntax == HTJ2KLosslessRPCL:
        coded = imagecodecs.htj2k_encode(pixels, reversible=True, tlm=True)
    else:
        raise ValueError(syntax)
    return encapsulate([bytes(coded)])


def _file(ds: Dataset, syntax: str, pixels: bytes) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    before, ds.file_meta = ds.file_meta, meta
    native, ds.PixelData = ds.PixelData, pixels
    ds["PixelData"].VR = "OW" if syntax == ExplicitVRLittleEndian else "OB"
    ds["PixelData"].is_undefined_length = syntax != ExplicitVRLittleEndian
    made = io.BytesIO()
    dcmwrite(made, ds, enforce_file_format=True)
    ds.file_meta, ds.PixelData = before, native
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OW", False
    return made.getvalue()


def ultrasound_loop(frames: int = 500, rows: int = 480, columns: int = 640) -> Instance:
    """A colour loop of so many frames, JPEG Baseline as machines send it."""
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    noise = np.random.default_rng(7).integers(0, 60, (rows, columns), np.uint8)
    coded = []
    for number in range(frames):
        wave = (np.sin((across + down) / 24 + number / 9) * 60 + 100).astype(np.uint8)
        grey = np.roll(noise, number, axis=0) + wave
        image = np.stack([grey, grey, np.where((across + number) % 97 < 20, 255, grey).astype(np.uint8)], axis=-1)
        coded.append(bytes(imagecodecs.jpeg8_encode(image, level=85, subsampling="422")))
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = UltrasoundMultiFrameImageStorage, new_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = new_uid(), new_uid()
    ds.PatientID, ds.PatientName, ds.Modality, ds.StudyDate, ds.StudyTime = (
        "BENCH-US",
        "Bench^Loop",
        "US",
        "20260102",
        "1",
    )
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber, ds.AccessionNumber = "1", 1, 1, ""
    ds.PatientBirthDate, ds.PatientSex, ds.ReferringPhysicianName = "", "O", ""
    ds.Rows, ds.Columns, ds.NumberOfFrames, ds.SamplesPerPixel = rows, columns, frames, 3
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "YBR_FULL_422", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.FrameTime = 7, 0, "33"
    ds.PixelData = encapsulate(coded)
    ds["PixelData"].is_undefined_length = True
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.file_meta = meta
    made = io.BytesIO()
    dcmwrite(made, ds, enforce_file_format=True)
    return Instance(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, made.getvalue())


def small_studies(count: int) -> Iterator[Instance]:
    """Studies of one small image each, of many patients and dates: for a study list."""
    for number in range(count):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", new_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID = new_uid(), new_uid()
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.PatientName = f"{FAMILY[number % len(FAMILY)]}^{GIVEN[number // len(FAMILY) % len(GIVEN)]}"
        ds.PatientID, ds.AccessionNumber = f"PID{number:06}", f"ACC{number:06}"
        ds.PatientBirthDate, ds.PatientSex = f"{1930 + number % 80}0{1 + number % 9}1{number % 9}", "MFO"[number % 3]
        ds.StudyDate = f"20{20 + number % 6}{1 + number % 12:02}{1 + number % 28:02}"
        ds.StudyTime, ds.StudyID, ds.ReferringPhysicianName = f"{number % 24:02}3000", str(number), "Doe^Jo"
        ds.StudyDescription, ds.Modality = ("Chest", "Head", "Knee")[number % 3], ("CT", "MR", "US")[number % 3]
        ds.SeriesNumber, ds.InstanceNumber, ds.ConversionType = 1, 1, "WSD"
        ds.Rows = ds.Columns = 8
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelData = 8, 8, 7, bytes(64)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta = meta
        made = io.BytesIO()
        dcmwrite(made, ds, enforce_file_format=True)
        yield Instance(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, made.getvalue())


BOUNDARY = "plexus-load-test"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def stow_bodies(instances: Sequence[Instance], a_request: int) -> list[bytes]:
    """Bodies of STOW-RS requests of so many instances each."""
    head = f"\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    return [
        b"".join(piece for each in instances[at : at + a_request] for piece in (head, each.data))[2:] + tail
        for at in range(0, len(instances), a_request)
    ]


def write_folder(instances: Sequence[Instance], folder: Path) -> Path:
    """The instances as files."""
    folder.mkdir(parents=True)
    for number, each in enumerate(instances):
        (folder / f"{number:05}.dcm").write_bytes(each.data)
    return folder
