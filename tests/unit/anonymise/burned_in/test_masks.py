"""Masks in every transfer syntax: inside all is one value, outside nothing changes, and the header stays true."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest

from services.anonymise.burned_in.masking import covered
from services.anonymise.burned_in.model import Box, Decision
from services.anonymise.burned_in.picture import picture_of
from services.anonymise.burned_in.workers import Workers
from services.anonymise.engine.elements import read_file
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN
from services.pixels.decoding import conformed, decode
from services.pixels.syntaxes import ABILITIES, DEFLATED_FRAMES, lossless
from services.pixels.syntaxes import native as is_native
from tests.unit.anonymise.burned_in.made import ASKED, cleaned, cleaner, instance

MASKS = (Box(0, 0, 20, 7), Box(30, 10, 100, 5))
RANDOM = np.random.default_rng(4)
ARRAYS = {
    "grey8": RANDOM.integers(1, 255, (40, 50), np.uint8),
    "grey16": RANDOM.integers(-900, 3000, (40, 50), np.int16),
    "rgb8": RANDOM.integers(1, 255, (40, 50, 3), np.uint8),
}
# The airlock refuses deflated frames before anybody looks at pixels: pydicom does not know them.
ENCODED = [
    (name, syntax)
    for syntax in ABILITIES
    for name, array in ARRAYS.items()
    if lossless(syntax) and syntax != DEFLATED_FRAMES and 8 * array.dtype.itemsize in ABILITIES[syntax].encodes
]


def outside(rows: int, columns: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    kept = np.ones((rows, columns), bool)
    for box in MASKS:
        kept[box.y : box.y + box.height, box.x : box.x + box.width] = False
    return kept


@pytest.mark.parametrize(("name", "syntax"), ENCODED)
def test_pixels_outside_of_the_masks_stay_equal_in_every_transfer_syntax(
    workers: Workers, name: str, syntax: str
) -> None:
    array = ARRAYS[name]
    before = np.stack([array, array[::-1]])
    data = instance(before, syntax, frames=2)
    ds = cleaned(data, cleaner(workers, decision=Decision(True, MASKS)))
    kept = outside(40, 50)
    after = np.stack(frames_of(ds))
    assert after.shape == before.shape
    assert np.array_equal(after[:, kept], before[:, kept])
    for frame in after:
        for box in MASKS:
            inside = frame[box.y : box.y + box.height, box.x : box.x + box.width]
            assert len(np.unique(inside.reshape(-1, *inside.shape[2:]), axis=0)) == 1
    if not is_native(syntax):
        assert ds.file_meta.TransferSyntaxUID == syntax
    assert ds.BurnedInAnnotation == "NO"


def test_frames_of_single_bits_that_share_a_byte_are_masked_each(workers: Workers) -> None:
    bits = RANDOM.integers(0, 2, (3, 9, 11), np.uint8)
    ds = cleaned(instance(bits, frames=3, allocated=1), cleaner(workers, decision=Decision(True, (Box(0, 0, 4, 3),))))
    assert np.array_equal(ds.pixel_array[:, 3:], bits[:, 3:])
    assert np.array_equal(ds.pixel_array[:, :, 4:], bits[:, :, 4:])
    assert all(len(np.unique(frame[:3, :4])) == 1 for frame in ds.pixel_array)


def files(shared_data: Path) -> list[Path]:
    folders = ("syntaxes-ct", "syntaxes-color", "multiframe", "xray")
    return [path for folder in folders for path in sorted((shared_data / folder).glob("*.dcm"))]


def test_the_pictures_of_others_are_masked_in_whatever_they_come(workers: Workers, shared_data: Path) -> None:
    seen = set()
    for path in files(shared_data):
        data = path.read_bytes()
        header = pydicom.dcmread(io.BytesIO(data))
        if header.get("Modality") == "SEG" or path.name == "emri_small_jpeg_2k_lossless_too_short.dcm":
            continue
        file = read_file(data)
        picture = picture_of(file)
        assert picture is not None
        rows, columns = picture.description.rows, picture.description.columns
        mask = Box(0, 0, max(columns // 3, 1), max(rows // 4, 1))
        ds = cleaned(data, cleaner(workers, decision=Decision(True, (mask,))), ASKED)
        syntax = str(ds.file_meta.TransferSyntaxUID)
        seen.add(picture.syntax)
        assert syntax in (picture.syntax, EXPLICIT_LITTLE_ENDIAN)
        if not is_native(picture.syntax) and lossless(picture.syntax):
            assert syntax == picture.syntax
        before, after = frames_of(data), frames_of(ds)
        assert len(before) == len(after) == picture.frames, path.name
        for old, new in zip(before, after, strict=True):
            assert np.array_equal(new[mask.height :], old[mask.height :]), path.name
            assert np.array_equal(new[:, mask.width :], old[:, mask.width :]), path.name
            inside = new[: mask.height, : mask.width]
            assert len(np.unique(inside.reshape(-1, *inside.shape[2:]), axis=0)) == 1, path.name
        if picture.syntax.startswith("1.2.840.10008.1.2.4.5") and picture.syntax[-2:] in ("50", "51", "53", "55"):
            assert ds.LossyImageCompression == "01"
    assert len(seen) >= 14, seen


def frames_of(source: bytes | pydicom.FileDataset) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """Frames as our decoder reads them."""
    if not isinstance(source, bytes):
        out = io.BytesIO()
        source.save_as(out)
        source = out.getvalue()
    picture = picture_of(read_file(source))
    assert picture is not None
    if is_native(picture.syntax):
        length = (picture.description.frame_bits + 7) // 8
        cells = picture.description.allocated // 8
        encoded = [bytes(picture.value[at * length : (at + 1) * length]) for at in range(picture.frames)]
        if picture.big_endian and cells > 1:
            encoded = [np.frombuffer(one, f">u{cells}").byteswap().tobytes() for one in encoded]
    else:
        fragments = pydicom.encaps.generate_frames(bytes(picture.value), number_of_frames=picture.frames)
        encoded = list(fragments)
    decoded = (decode(one, picture.syntax, picture.description) for one in encoded)
    return [conformed(one, picture.description).array for one in decoded]


def test_what_masks_cover_is_told_as_a_part() -> None:
    assert covered(Box(0, 0, 10, 10), [Box(0, 0, 10, 5)]) == 0.5
    assert covered(Box(0, 0, 10, 10), [Box(-5, -5, 50, 50)]) == 1.0
    assert covered(Box(0, 0, 10, 10), [Box(20, 0, 5, 5)]) == 0.0
