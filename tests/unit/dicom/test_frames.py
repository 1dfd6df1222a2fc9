from pathlib import Path

import pytest
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import MPEG2MPML, ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless

from services.dicom.frames import NoSuchFrame
from services.dicom.layout import Layout
from services.dicom.part10 import InstanceError, inflated, parse_instance
from tests.unit.dicom.samples import every_file, file_of, minimal, names, read


def frames_of(data: bytes) -> list[bytes]:
    """All frames, each by one range, from a layout that went through its kept form."""
    layout = Layout.decode(parse_instance(data).layout.encode())
    if layout.frames is None:
        return []
    if layout.deflated:
        data = inflated(data)
    spans = [layout.frames.span(number) for number in range(1, layout.frames.count + 1)]
    return [span.take(data[span.offset : span.offset + span.length], big_endian=layout.big_endian) for span in spans]


def image(frames: int, **more: object) -> object:
    ds = minimal(Rows=2, Columns=3, SamplesPerPixel=1, BitsAllocated=8, PhotometricInterpretation="MONOCHROME2")
    ds.NumberOfFrames = frames
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def encapsulated(frames: int, value: bytes, transfer_syntax_uid: str = JPEG2000Lossless) -> bytes:
    ds = image(frames)
    ds.PixelData = value
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return file_of(ds, transfer_syntax_uid)


@pytest.mark.parametrize("path", every_file(), ids=names)
def test_every_frame_is_the_bytes_that_pydicom_finds(path: Path) -> None:
    data = path.read_bytes()
    try:
        parsed = parse_instance(data)
    except InstanceError:
        return
    if parsed.layout.frames is None or parsed.layout.big_endian:
        return
    ds = read(data)
    count = parsed.attributes.get("00280008", {}).get("Value", [1])[0]
    count = count if isinstance(count, int) else 1
    found = frames_of(data)
    assert len(found) == count
    pixels = next(ds[tag].value for tag in (0x7FE00010, 0x7FE00008, 0x7FE00009) if tag in ds)
    if ds["PixelData"].is_undefined_length if "PixelData" in ds else False:
        assert found == list(generate_frames(pixels, number_of_frames=count))
    elif ds.BitsAllocated != 1:
        size = len(found[0])
        assert found == [pixels[at * size : (at + 1) * size] for at in range(count)]


def test_single_bit_frames_are_cut_out_of_their_packed_row() -> None:
    # Three frames of six bits: 100000 110000 111000, least significant bit first (PS3.5 8.1.1).
    bits = "100000" + "110000" + "111000"
    packed = int(bits[::-1], 2).to_bytes(4, "little")
    ds = image(3, BitsAllocated=1, PixelData=packed)
    ds["PixelData"].VR = "OB"

    assert frames_of(file_of(ds)) == [b"\x01", b"\x03", b"\x07"]


def test_big_endian_frames_come_out_little_endian() -> None:
    ds = image(2, BitsAllocated=16, PixelData=bytes(range(24)))
    ds["PixelData"].VR = "OW"
    swapped = bytes(byte for at in range(0, 24, 2) for byte in (at + 1, at))

    assert frames_of(file_of(ds, ExplicitVRBigEndian)) == [swapped[:12], swapped[12:]]


def test_four_two_two_frames_have_two_bytes_a_pixel() -> None:
    ds = image(2, Columns=4, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422", PixelData=bytes(range(32)))
    ds["PixelData"].VR = "OB"

    assert frames_of(file_of(ds)) == [bytes(range(16)), bytes(range(16, 32))]


def test_float_pixels_are_frames_too() -> None:
    ds = image(2, FloatPixelData=bytes(48))
    assert [len(frame) for frame in frames_of(file_of(ds))] == [24, 24]


def test_deflated_frames_lie_in_the_inflated_file() -> None:
    ds = image(2, PixelData=bytes(range(12)))
    ds["PixelData"].VR = "OB"
    assert frames_of(file_of(ds, deflate=True)) == [bytes(range(6)), bytes(range(6, 12))]


JPEGS = [b"\xff\xd8" + bytes([number]) * 20 + b"\xff\xd9" for number in range(3)]


@pytest.mark.parametrize("has_table", [True, False])
@pytest.mark.parametrize("fragments", [1, 2, 3])
def test_frames_of_several_fragments_are_joined(fragments: int, has_table: bool) -> None:
    data = encapsulated(3, encapsulate(JPEGS, fragments_per_frame=fragments, has_bot=has_table))
    assert frames_of(data) == JPEGS


def test_the_extended_offset_table_is_used() -> None:
    value, table, lengths = encapsulate_extended([b"no marker %d!" % number for number in range(3)])
    ds = image(3, PixelData=value, ExtendedOffsetTable=table, ExtendedOffsetTableLengths=lengths)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    assert frames_of(file_of(ds, JPEG2000Lossless)) == [b"no marker 0!", b"no marker 1!", b"no marker 2!"]


def test_a_wrong_offset_table_gives_way_to_what_the_fragments_say() -> None:
    value = bytearray(encapsulate(JPEGS, fragments_per_frame=2))
    value[12:16] = (5).to_bytes(4, "little")
    assert frames_of(encapsulated(3, bytes(value))) == JPEGS


def test_frames_that_cannot_be_told_apart_have_no_index_and_the_instance_is_taken() -> None:
    value = encapsulate([b"abcdabcdabcd", b"efghefghefgh"], fragments_per_frame=3, has_bot=False)
    parsed = parse_instance(encapsulated(2, value))
    assert parsed.layout.frames is None
    assert [note.value for note in parsed.notes] == ["frames-ambiguous"]


def test_a_video_has_no_frames_of_its_own_but_bulk_data() -> None:
    parsed = parse_instance(encapsulated(25, encapsulate([b"one codestream"]), MPEG2MPML))
    assert parsed.layout.frames is None
    assert "7FE00010" in parsed.layout.bulk


def test_a_frame_that_is_not_there_is_an_error() -> None:
    ds = image(2, PixelData=bytes(12))
    ds["PixelData"].VR = "OB"
    native = parse_instance(file_of(ds)).layout.frames
    fragmented = parse_instance(encapsulated(3, encapsulate(JPEGS))).layout.frames
    for frames in (native, fragmented):
        for number in (-1, 0, frames.count + 1):
            with pytest.raises(NoSuchFrame):
                frames.span(number)


def test_a_layout_survives_its_kept_form_and_other_bytes_do_not_pass_for_one() -> None:
    ds = image(1, PixelData=bytes(6))
    ds["PixelData"].VR = "OB"
    for data in (file_of(ds), encapsulated(3, encapsulate(JPEGS, fragments_per_frame=2)), file_of(minimal())):
        layout = parse_instance(data).layout
        assert Layout.decode(layout.encode()) == layout
        with pytest.raises(ValueError, match="not a layout"):
            Layout.decode(layout.encode() + b"more")
    assert parse_instance(file_of(ds, ExplicitVRLittleEndian)).layout.header_bytes > 132
