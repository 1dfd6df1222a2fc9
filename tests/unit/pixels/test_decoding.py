"""Every frame is pixel-equal to what pydicom, or else GDCM, decodes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gdcm  # type: ignore[import-untyped]
import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder

from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN
from services.pixels import syntaxes
from services.pixels.decoding import Decoded, conformed, decode, native
from services.pixels.description import Description, describe
from services.pixels.errors import NotDescribed, TooLarge, Undecodable
from tests.unit.pixels import images
from tests.unit.pixels.images import Image

BY_GDCM = (syntaxes.JPEG_EXTENDED, syntaxes.JPEG_SPECTRAL, syntaxes.JPEG_PROGRESSIVE)
"""Of 12-bit DCT-based JPEG, pydicom has no decoder, or one (pylibjpeg-libjpeg) whose inverse transform rounds some
samples to the next value. GDCM's is the integer transform of the Independent JPEG Group, which nearly all readers have
in common; both are within what ISO/IEC 10918-2 allows."""

BROKEN = ("JPEG2000-embedded-sequence-delimiter.dcm", "example3.dcm")
"""Files without a whole codestream in them: neither pydicom nor GDCM decodes them, as the tests find as well."""

BY_HAND = ("badVR.dcm", "liver_deflate.dcm", "liver_rle.dcm")
"""pydicom stumbles over another element, or has no decoder of single bits in these transfer syntaxes."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The reference decoders log much about odd files."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def of_gdcm(image: Image) -> NDArray[Any] | None:
    """All frames as GDCM decodes them; None if it does not."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(image.path))
    assert reader.Read()
    if (whole := reader.GetImage().GetBuffer()) is None:
        return None
    described = image.description
    cells = np.frombuffer(whole.encode("utf-8", "surrogateescape"), described.cell)
    return cells.reshape(image.count, described.rows, described.columns)


def wanted(image: Image) -> Iterator[NDArray[Any]]:
    """Its frames as the reference decodes them."""
    if image.syntax in BY_GDCM:
        whole = of_gdcm(image)
        assert whole is not None
        yield from whole
        return
    ds = pydicom.dcmread(image.path)
    decoder = get_decoder(ds.file_meta.TransferSyntaxUID)
    for number in range(image.count):
        yield decoder.as_array(ds, index=number, raw=True)[0]


def check(image: Image) -> None:
    """Compare all frames."""
    if image.path.name in BROKEN:
        with pytest.raises(Undecodable):
            decode(next(image.frames()), image.syntax, image.description)
        with pytest.raises(RuntimeError):
            next(wanted(image))
        assert of_gdcm(image) is None
        return
    for encoded, reference in zip(image.frames(), wanted(image), strict=True):
        decoded = decode(encoded, image.syntax, image.description)
        assert decoded.array.shape == reference.shape
        assert decoded.array.dtype == np.dtype(image.description.cell)
        np.testing.assert_array_equal(decoded.array, reference)


@pytest.mark.parametrize("image", images.shipped(), ids=lambda image: image.path.name)
def test_frames_of_the_shipped_files_are_equal_to_the_references(image: Image) -> None:
    if image.path.name not in BY_HAND:
        check(image)


def test_frames_of_the_wider_data_set_are_equal_to_the_references(shared_data: Path) -> None:
    wrong = []
    for image in images.wider(shared_data):
        if image.path.name in BY_HAND:
            continue
        try:
            check(image)
        except (AssertionError, Undecodable) as error:
            wrong.append((image.path.name, error))
    assert not wrong


def test_single_bits_are_the_same_in_every_transfer_syntax(shared_data: Path) -> None:
    liver = {image.path.name: image for image in images.wider(shared_data) if image.path.name.startswith("liver")}
    reference = [decode(frame, liver["liver.dcm"].syntax, liver["liver.dcm"].description) for frame in
                 liver["liver.dcm"].frames()]  # fmt: skip
    for name in ("liver_deflate.dcm", "liver_rle.dcm", "liver_j2k.dcm"):
        image = liver[name]
        for encoded, same in zip(image.frames(), reference, strict=True):
            np.testing.assert_array_equal(decode(encoded, image.syntax, image.description).array, same.array)


def test_the_codestream_says_what_its_colours_are() -> None:
    photometrics = {
        name: decode(next(image.frames()), image.syntax, image.description).photometric
        for name in ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm")
        for image in (images.named(name),)
    }
    assert photometrics == {
        "SC_rgb_jpeg_dcmtk.dcm": "YBR_FULL",
        "SC_rgb_dcmtk_+eb+cr.dcm": "RGB",
        "SC_rgb_dcmtk_+eb+cy+np.dcm": "YBR_FULL",
    }


def test_a_frame_is_brought_into_the_colour_space_that_its_data_set_names() -> None:
    colours = Decoded(np.array([[[255, 0, 0], [0, 255, 0], [12, 34, 200]]], np.uint8), "RGB")
    described = Description(1, 3, 3, 8, 8, photometric="YBR_FULL_422")
    there = conformed(colours, described)
    assert there.photometric == "YBR_FULL"
    assert there.array[0, 0].tolist() == [76, 85, 255]
    back = conformed(there, replace(described, photometric="RGB"))
    assert np.abs(back.array.astype(int) - colours.array).max() <= 1


def test_native_chrominance_of_every_other_column_is_spread() -> None:
    described = Description(1, 4, 3, 8, 8, photometric="YBR_FULL_422")
    decoded = decode(bytes([1, 2, 10, 20, 3, 4, 11, 21]), EXPLICIT_LITTLE_ENDIAN, described)
    assert decoded.array.tolist() == [[[1, 10, 20], [2, 10, 20], [3, 11, 21], [4, 11, 21]]]
    assert decoded.photometric == "YBR_FULL"


def test_planes_become_pixels_and_planes_again() -> None:
    described = Description(1, 2, 3, 8, 8, photometric="RGB", planar=True)
    decoded = decode(bytes([1, 2, 3, 4, 5, 6]), EXPLICIT_LITTLE_ENDIAN, described)
    assert decoded.array.tolist() == [[[1, 3, 5], [2, 4, 6]]]
    assert native(decoded, described) == bytes([1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(("allocated", "cell"), [(32, "<f4"), (64, "<f8")])
def test_floating_pixels_stay_as_they_are(allocated: int, cell: str) -> None:
    described = Description(1, 3, allocated=allocated, stored=allocated, floating=True)
    values = np.array([[np.nan, -1.5, np.inf]], cell)
    decoded = decode(values.tobytes(), EXPLICIT_LITTLE_ENDIAN, described)
    np.testing.assert_array_equal(decoded.array, values)
    assert native(decoded, described) == values.tobytes()
    with pytest.raises(Undecodable):
        decode(values.tobytes(), syntaxes.RLE_LOSSLESS, described)


def test_what_would_be_too_large_is_refused_before_anything_is_set_aside() -> None:
    described = Description(60000, 60000)
    with pytest.raises(TooLarge):
        decode(b"\xff\x4f\xff\x51", syntaxes.JPEG_2000, described)


def test_a_codestream_of_another_size_than_the_data_set_says_is_refused() -> None:
    image = images.named("MR_small_jp2klossless.dcm")
    (encoded,) = image.frames()
    with pytest.raises(Undecodable):
        decode(encoded, image.syntax, replace(image.description, columns=image.description.columns + 1))


@pytest.mark.parametrize(
    "name", ["SC_rgb_jpeg_dcmtk.dcm", "JPGExtended.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
             "MR_small_RLE.dcm"]
)  # fmt: skip
def test_a_frame_that_is_cut_short_is_refused_and_not_filled_up(name: str) -> None:
    image = images.named(name)
    (encoded,) = image.frames()
    for kept in (0.1, 0.6, 0.95):
        with pytest.raises(Undecodable):
            decode(encoded[: int(len(encoded) * kept)], image.syntax, image.description)


def test_video_and_what_no_library_reads_is_refused() -> None:
    for uid in ("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.110", "1.2.3"):
        assert not syntaxes.decodable(uid)
        with pytest.raises(Undecodable):
            decode(b"\0" * 128, uid, Description(8, 8))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"00280010": {"vr": "US", "Value": [8]}, "00280011": {"vr": "US", "Value": [8]}},
        {"00280010": {"vr": "US", "Value": ["8"]}, "00280011": {"vr": "US", "Value": [8]},
         "00280100": {"vr": "US", "Value": [16]}},
        {"00280010": {"vr": "US", "Value": [8]}, "00280011": {"vr": "US", "Value": [8]},
         "00280100": {"vr": "US", "Value": [12]}},
        {"00280010": {"vr": "US", "Value": [8]}, "00280011": {"vr": "US", "Value": [8]},
         "00280100": {"vr": "US", "Value": [8]}, "00280101": {"vr": "US", "Value": [12]}},
    ],
)  # fmt: skip
def test_pixels_that_are_not_described_are_not_guessed_at(attributes: dict[str, Any]) -> None:
    with pytest.raises(NotDescribed):
        describe(attributes)


@pytest.mark.parametrize("cell", ["u4", "i4"])
def test_htj2k_of_32_bits_is_decoded(cell: str) -> None:
    limits = np.iinfo(cell)
    values = np.random.default_rng(0).integers(limits.min, limits.max, (40, 30), dtype=cell, endpoint=True)
    encoded = bytes(imagecodecs.htj2k_encode(values, reversible=True))
    described = Description(40, 30, allocated=32, stored=32, signed=cell == "i4")
    np.testing.assert_array_equal(decode(encoded, syntaxes.HTJ2K, described).array, values)
