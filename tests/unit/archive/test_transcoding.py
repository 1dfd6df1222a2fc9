"""Whole instances in another transfer syntax: the same pixels, and a data set that is true of them."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from services.archive.errors import NotDecodable
from services.archive.sources import Inflating, Stored
from services.archive.transcoding import transcoded
from services.dicom import encapsulation
from services.dicom.part10 import file_header
from services.dicom.transfer_syntaxes import DEFLATED_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from services.pixels import syntaxes
from services.pixels.decoding import Decoded, conformed, decode
from services.pixels.syntaxes import JPEG_BASELINE
from tests.unit.archive.transcoded import InPlace, OneObject, located, whole
from tests.unit.pixels import images
from tests.unit.pixels.images import Image, named, read

SMALL = (
    "MR_small_bigendian.dcm",  # big endian
    "MR_small_implicit.dcm",
    "image_dfl.dcm",  # deflated
    "ExplVR_BigEnd.dcm",  # colour by plane, big endian
    "SC_rgb_small_odd_big_endian.dcm",  # a frame ends in the middle of a word
    "SC_rgb_small_odd_jpeg.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",  # YBR_FULL_422
    "SC_rgb_jpeg.dcm",  # an implicit data set that is said to be explicit
    "SC_ybr_full_422_uncompressed.dcm",
    "GDCMJ2K_TextGBR.dcm",  # YBR_RCT
    "emri_small_jpeg_ls_lossless.dcm",  # many frames
    "rtdose_rle.dcm",  # 32 bits, many frames
    "liver.dcm",  # single bits
    "J2K_pixelrep_mismatch.dcm",
    "examples_palette.dcm",
)
"""One for each way in which pixels may lie."""


def frames(image: Image) -> list[Decoded]:
    """All of them, as their data set says."""
    described = image.description
    return [conformed(decode(encoded, image.syntax, described), described) for encoded in image.frames()]


def loop(count: int) -> Image:
    """A native loop of noise, 64 pixels high and wide."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.3.1", "1.2.3.4"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    ds.Rows = ds.Columns = 64
    ds.NumberOfFrames, ds.SamplesPerPixel, ds.PhotometricInterpretation = count, 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.PixelData = np.random.default_rng(0).integers(0, 256, (count, 64, 64), np.uint8).tobytes()
    ds["PixelData"].VR = "OB"
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = io.BytesIO()
    pydicom.dcmwrite(made, ds, enforce_file_format=True)
    return read(made.getvalue())


async def check(image: Image, target: str, before: list[Decoded]) -> None:
    """Transcode and compare."""
    after = read(await whole(image, target))
    assert after.syntax == target
    assert not after.parsed.notes or after.parsed.notes == image.parsed.notes
    found = frames(after)
    assert len(found) == len(before)
    if not syntaxes.lossless(target):
        return
    assert after.parsed.sop_instance_uid == image.parsed.sop_instance_uid
    for mine, theirs in zip(found, before, strict=True):
        assert mine.photometric == theirs.photometric
        np.testing.assert_array_equal(mine.array, theirs.array)


@pytest.mark.parametrize("name", [name for name in SMALL if (images.SHIPPED / name).exists()])
async def test_pixels_are_the_same_in_every_transfer_syntax(name: str) -> None:
    image = named(name)
    before = frames(image)
    for target in syntaxes.targets(image.syntax, image.description):
        await check(image, target, before)


async def test_instances_of_the_wider_data_set_can_be_had_in_the_common_transfer_syntaxes(
    shared_data: Path,
) -> None:
    """Explicit and implicit for everybody, HTJ2K for the web; what cannot be decoded is refused."""
    refused = []
    for image in images.wider(shared_data, some=True):
        try:
            before = frames(image)
        except ValueError:
            refused.append(image.path.name)
            with pytest.raises(NotDecodable):
                await whole(image, EXPLICIT_LITTLE_ENDIAN)
            continue
        for target in (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, syntaxes.HTJ2K_LOSSLESS_RPCL):
            if target in syntaxes.targets(image.syntax, image.description):
                await check(image, target, before)
    assert set(refused) <= {"example3.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"}


async def test_the_rest_of_the_data_set_is_the_same() -> None:
    image = named("MR_small_implicit.dcm")
    before = pydicom.dcmread(image.path)
    after = pydicom.dcmread(io.BytesIO(await whole(image, syntaxes.JPEG_2000_LOSSLESS)))
    del before.PixelData, after.PixelData
    before.pop(0xFFFCFFFC, None)
    assert after == before
    assert after.file_meta.MediaStorageSOPInstanceUID == before.SOPInstanceUID


async def test_colour_of_jpeg_2000_is_said_to_be_transformed() -> None:
    """PS3.5 8.2.4."""
    after = pydicom.dcmread(io.BytesIO(await whole(named("ExplVR_BigEnd.dcm"), syntaxes.JPEG_2000_LOSSLESS)))
    assert (after.PhotometricInterpretation, after.PlanarConfiguration) == ("YBR_RCT", 0)


async def test_what_was_lossy_says_so_for_ever() -> None:
    image = named("SC_rgb_dcmtk_+eb+cy+np.dcm")
    after = pydicom.dcmread(io.BytesIO(await whole(image, EXPLICIT_LITTLE_ENDIAN)))
    assert after.LossyImageCompression == "01"
    assert after.PhotometricInterpretation == "YBR_FULL"


async def test_a_lossy_target_makes_a_derived_image_with_its_own_uid_always_the_same() -> None:
    """PS3.3 C.7.6.1.1.2, C.7.6.1.1.5, C.12.4.1."""
    image = named("examples_rgb_color.dcm")
    once, again = [await whole(image, JPEG_BASELINE) for _ in range(2)]
    assert once == again
    after = pydicom.dcmread(io.BytesIO(once))
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID != image.parsed.sop_instance_uid
    assert after.SourceImageSequence[-1].ReferencedSOPInstanceUID == image.parsed.sop_instance_uid
    assert after.DerivationCodeSequence[-1].CodeValue == "113040"
    assert after.ImageType[0] == "DERIVED"
    assert after.PhotometricInterpretation == "YBR_FULL_422"
    assert after.LossyImageCompression == "01"
    assert after["LossyImageCompressionMethod"].value in ("ISO_10918_1", ["ISO_10918_1", "ISO_10918_1"])
    assert after.StudyInstanceUID == image.parsed.study_instance_uid


async def test_frames_are_found_by_the_basic_offset_table() -> None:
    after = pydicom.dcmread(io.BytesIO(await whole(loop(count=9), syntaxes.HTJ2K)))
    offsets = pydicom.encaps.parse_basic_offsets(after.PixelData)
    assert len(offsets) == after.NumberOfFrames
    assert [frame[:2] for frame in pydicom.encaps.generate_frames(after.PixelData)] == [b"\xff\x4f"] * len(offsets)


def test_where_the_basic_offset_table_cannot_count_so_far_the_extended_one_does() -> None:
    """PS3.3 C.7.6.3.1.8."""
    head = encapsulation.encapsulated_head([2**31, 2**31, 2])
    ds = pydicom.dcmread(io.BytesIO(file_header(
        transfer_syntax_uid=ExplicitVRLittleEndian, sop_class_uid="1.2", sop_instance_uid="1.2"
    ) + head[: head.index(b"\xe0\x7f\x10\x00")]))  # fmt: skip
    assert np.frombuffer(ds.ExtendedOffsetTable, "<u8").tolist() == [0, 2**31 + 8, 2**32 + 16]
    assert np.frombuffer(ds.ExtendedOffsetTableLengths, "<u8").tolist() == [2**31, 2**31, 2]
    assert head.endswith(b"\xfe\xff\x00\xe0\0\0\0\0")


async def test_an_instance_without_pixels_changes_its_encoding_only() -> None:
    path = images.SHIPPED / "test-SR.dcm"
    image = read(path.read_bytes(), path)
    after = pydicom.dcmread(io.BytesIO(await whole(image, IMPLICIT_LITTLE_ENDIAN)))
    assert after == pydicom.dcmread(path)
    deflated = read(await whole(image, DEFLATED_LITTLE_ENDIAN))
    assert deflated.parsed.metadata == image.parsed.metadata
    back = read(await whole(deflated, EXPLICIT_LITTLE_ENDIAN))
    assert back.parsed.metadata == image.parsed.metadata
    with pytest.raises(NotDecodable):
        await whole(image, syntaxes.JPEG_2000_LOSSLESS)


async def test_a_broken_frame_is_refused_before_anything_is_sent() -> None:
    image = read(await whole(loop(count=9), syntaxes.JPEG_LS_LOSSLESS))
    span = image.parsed.layout.frames.span(7)  # type: ignore[union-attr]  # it has some
    broken = bytearray(image.data)
    broken[span.offset : span.offset + span.length] = bytes(span.length)
    pieces = transcoded(located(image), Stored(OneObject(bytes(broken)), ""), syntaxes.HTJ2K, InPlace())
    with pytest.raises(NotDecodable):
        await anext(pieces)


async def test_what_lies_nowhere_or_cannot_be_told_is_refused() -> None:
    image = read(await whole(loop(count=9), syntaxes.JPEG_LS_LOSSLESS))
    for lost in (replace(image.parsed.layout, frames=None), replace(image.parsed.layout, frames=None, bulk={})):
        there = replace(located(image), layout=lost)
        if not lost.bulk:
            there = replace(there, transfer_syntax_uid="1.2.840.10008.1.2.4.102")
        with pytest.raises(NotDecodable):
            await anext(transcoded(there, Stored(OneObject(image.data), ""), EXPLICIT_LITTLE_ENDIAN, InPlace()))
    with pytest.raises(NotDecodable):
        await whole(image, "1.2.840.10008.1.2.4.102")


async def test_a_loop_is_read_and_written_frame_by_frame() -> None:
    """Memory is that of a few frames, however many there are."""
    image = loop(count=300)
    objects = OneObject(image.data)
    pieces = [
        piece async for piece in transcoded(located(image), Stored(objects, ""), syntaxes.HTJ2K_LOSSLESS, InPlace())
    ]
    assert len(pieces) == 300 + 2
    assert objects.longest <= 64 * 1024
    there = read(b"".join(pieces))
    back = Stored(OneObject(there.data), "")
    pieces = [piece async for piece in transcoded(located(there), back, EXPLICIT_LITTLE_ENDIAN, InPlace())]
    assert max(map(len, pieces)) < 3 * 64 * 64
    assert b"".join(pieces)[-300 * 64 * 64 :] == image.data[-300 * 64 * 64 :]


async def test_a_deflated_instance_is_inflated_as_far_as_it_is_read() -> None:
    content = bytes(64 * 1024**2)
    header = file_header(transfer_syntax_uid=DEFLATED_LITTLE_ENDIAN, sop_class_uid="1.2", sop_instance_uid="1.2")
    packed = zlib.compress(content, 9, -zlib.MAX_WBITS)
    source = Inflating(OneObject(header + packed), "")
    assert await source.read(0, len(header)) == header
    assert await source.read(len(header) + 40_000_000, 10) == bytes(10)
    assert await source.read(len(header), 3) == bytes(3)
    assert await source.read(len(header) + len(content) - 2, 100) == bytes(2)
