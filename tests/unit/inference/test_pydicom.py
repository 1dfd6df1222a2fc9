"""Reading slices with pydicom: what is refused, and that Hounsfield units are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from services.contracts.tensors import Units
from services.inference.adapters.pydicom import PydicomReader
from services.inference.errors import NotAVolume, PixelsUnreadable, Refusal
from tests.unit.inference.series import COLUMNS, ROWS, Change, make_slice, pixels

READER = PydicomReader()


def room() -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    return np.zeros((ROWS, COLUMNS), np.int16)


def put(keyword: str, value: object) -> Change:
    def change(ds: Dataset, index: int) -> None:
        setattr(ds, keyword, value)

    return change


def drop(keyword: str) -> Change:
    def change(ds: Dataset, index: int) -> None:
        delattr(ds, keyword)

    return change


def test_a_header_says_where_the_slice_lies() -> None:
    header = READER.slices(make_slice(4), Units.HU)[0]
    assert header.position == (-10, -20, 10)
    assert header.row_cosines == (1, 0, 0) and header.column_cosines == (0, 1, 0)
    assert header.pixel_spacing == (0.8, 0.7)
    assert (header.rows, header.columns) == (ROWS, COLUMNS)


def test_the_header_is_read_from_a_file_that_is_cut_before_its_pixels() -> None:
    data = make_slice(4)
    assert READER.slices(data[: len(data) - ROWS * COLUMNS * 2], Units.HU) == READER.slices(data, Units.HU)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (drop("ImagePositionPatient"), Refusal.NO_GEOMETRY),
        (drop("ImageOrientationPatient"), Refusal.NO_GEOMETRY),
        (drop("PixelSpacing"), Refusal.NO_GEOMETRY),
        (put("ImagePositionPatient", [1, 2]), Refusal.NO_GEOMETRY),
        (put("PixelSpacing", [0, 0.7]), Refusal.NO_GEOMETRY),
        (drop("RescaleSlope"), Refusal.NO_RESCALE),
        (drop("RescaleIntercept"), Refusal.NO_RESCALE),
        (put("RescaleType", "US"), Refusal.NOT_HOUNSFIELD),
        (put("Modality", "MR"), Refusal.NOT_HOUNSFIELD),
        (put("NumberOfFrames", 2), Refusal.MULTI_FRAME),
        (put("SamplesPerPixel", 3), Refusal.COLOUR),
        (drop("Rows"), Refusal.NO_PIXELS),
    ],
)
def test_what_cannot_be_a_slice_in_hounsfield_units_is_refused(change: Change, refusal: Refusal) -> None:
    with pytest.raises(NotAVolume) as caught:
        READER.slices(make_slice(0, change), Units.HU)
    assert caught.value.refusal is refusal


def test_what_is_not_dicom_is_refused() -> None:
    with pytest.raises(NotAVolume):
        READER.slices(b"not a DICOM file", Units.HU)


def test_pixels_become_hounsfield_units() -> None:
    out = room()
    READER.decode(make_slice(2), Units.HU, {1: out})
    assert np.array_equal(out, pixels(2) - 1024)


def test_a_fractional_slope_is_rounded_not_cut_off() -> None:
    def change(ds: Dataset, index: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = 0.5, "-1024.4"

    out = room()
    READER.decode(make_slice(2, change), Units.HU, {1: out})
    assert np.array_equal(out, np.rint(pixels(2) * 0.5 - 1024.4))


def test_values_beyond_sixteen_bits_are_clipped_and_do_not_wrap() -> None:
    def change(ds: Dataset, index: int) -> None:
        ds.PixelRepresentation = 0
        ds.PixelData = np.array([0, 65535] * (ROWS * COLUMNS // 2), np.uint16).tobytes()

    out = room()
    READER.decode(make_slice(0, change), Units.HU, {1: out})
    assert set(np.unique(out).tolist()) == {-1024, 32767}


def test_pixels_that_are_cut_short_are_refused() -> None:
    with pytest.raises(PixelsUnreadable):
        READER.decode(make_slice(0, lambda ds, index: setattr(ds, "PixelData", bytes(10))), Units.HU, {1: room()})


def test_pixels_of_another_size_than_announced_are_refused() -> None:
    with pytest.raises(PixelsUnreadable):
        READER.decode(make_slice(0), Units.HU, {1: np.zeros((ROWS + 1, COLUMNS), np.int16)})


def test_a_modality_lut_is_not_taken_for_a_rescale() -> None:
    def change(ds: Dataset, index: int) -> None:
        del ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType
        ds.ModalityLUTSequence = Sequence([Dataset()])

    with pytest.raises(NotAVolume, match="Hounsfield"):
        READER.slices(make_slice(0, change), Units.HU)


@pytest.mark.parametrize(
    "name",
    [
        "CTImage.dcm_LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2.dcm",
        "CTImage.dcm_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm",
        "CTImage.dcm_DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99.dcm",
        "CTImage.dcm_JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57.dcm",
        "CTImage.dcm_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm",
        "CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm",
        "CTImage.dcm_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm",
        "CTImage.dcm_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm",
    ],
)
def test_every_lossless_transfer_syntax_gives_the_same_hounsfield_units(shared_data: Path, name: str) -> None:
    folder = shared_data / "syntaxes-ct"
    plain = (folder / "CTImage.dcm_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1.dcm").read_bytes()
    (header,) = READER.slices(plain, Units.HU)
    due, out = (np.zeros((header.rows, header.columns), np.int16) for _ in range(2))
    READER.decode(plain, Units.HU, {1: due})
    READER.decode((folder / name).read_bytes(), Units.HU, {1: out})
    assert np.array_equal(out, due)
