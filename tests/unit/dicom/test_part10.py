import io
import mmap
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from services.dicom.layout import Layout
from services.dicom.part10 import (
    InstanceError,
    Note,
    Reason,
    check_expected,
    dataset,
    file_header,
    inflated,
    parse_instance,
)
from tests.unit.dicom.samples import encoded, every_file, file_of, minimal, names, shipped

ENCODINGS = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def refusal(data: bytes) -> Reason:
    with pytest.raises(InstanceError) as caught:
        parse_instance(data)
    assert str(caught.value) == caught.value.reason.text
    return caught.value.reason


def with_pixels(**more: object) -> Dataset:
    ds = minimal(Rows=4, Columns=6, SamplesPerPixel=1, BitsAllocated=16, BitsStored=16, HighBit=15)
    ds.PixelRepresentation = 0
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = bytes(range(48))
    ds["PixelData"].VR = "OW"
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize("transfer_syntax_uid", ENCODINGS)
def test_the_identity_of_an_instance_is_read_in_every_encoding(transfer_syntax_uid: str) -> None:
    parsed = parse_instance(file_of(minimal(), transfer_syntax_uid))

    assert parsed.study_instance_uid == "1.2.3"
    assert parsed.series_instance_uid == "1.2.3.1"
    assert parsed.sop_instance_uid == "1.2.3.4"
    assert parsed.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert parsed.transfer_syntax_uid == transfer_syntax_uid
    assert parsed.notes == ()


def test_a_deflated_file_is_read_and_its_layout_counts_in_the_inflated_one() -> None:
    data = file_of(with_pixels(), deflate=True)

    parsed = parse_instance(data)

    assert parsed.layout.deflated
    assert parsed.layout.header_bytes == len(data)
    span = parsed.layout.frames.span(1)
    assert inflated(data)[span.offset : span.offset + span.length] == bytes(range(48))


def test_a_mapped_file_is_read_without_copying_it(tmp_path: Path) -> None:
    path = tmp_path / "instance"
    path.write_bytes(shipped("CT_small.dcm"))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        parsed = parse_instance(view)
        view.release()
    assert parsed.attributes["00080060"] == {"vr": "CS", "Value": ["CT"]}


def test_the_header_ends_where_pixel_data_begins() -> None:
    data = shipped("CT_small.dcm")

    parsed = parse_instance(data)

    head = pydicom.dcmread(io.BytesIO(data[: parsed.layout.header_bytes]))
    assert "PixelData" not in head
    assert data[parsed.layout.header_bytes :].startswith(b"\xe0\x7f\x10\x00")


@pytest.mark.parametrize("path", every_file(), ids=names)
def test_every_file_is_read_or_refused_with_a_reason(path: Path) -> None:
    data = path.read_bytes()
    try:
        parsed = parse_instance(data)
    except InstanceError as error:
        assert error.reason in Reason
    else:
        assert parsed.sop_instance_uid == str(dataset(data).SOPInstanceUID)


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7" + bytes(200), bytes(131), bytes(200)])
def test_what_is_not_a_dicom_file_is_refused_with_a_reason(data: bytes) -> None:
    assert refusal(data) is Reason.NOT_DICOM


@pytest.mark.parametrize("transfer_syntax_uid", ENCODINGS)
def test_a_file_cut_anywhere_is_refused_as_truncated_or_lacks_what_identifies_it(transfer_syntax_uid: str) -> None:
    ds = with_pixels(ReferencedStudySequence=[minimal()], StudyID="1")
    data = file_of(ds, transfer_syntax_uid)
    whole = parse_instance(data)

    for end in range(132, len(data)):
        try:
            cut = parse_instance(data[:end])
        except InstanceError as error:
            assert error.reason in (Reason.TRUNCATED, Reason.MISSING_UID, Reason.MISSING_TRANSFER_SYNTAX), end
        else:
            # Cut exactly between two elements of the top level: that cannot be told from a shorter data set.
            assert set(cut.attributes) < set(whole.attributes)


def test_an_encapsulated_file_cut_anywhere_in_its_pixels_is_refused_as_truncated() -> None:
    data = shipped("MR_small_RLE.dcm")
    start = parse_instance(data).layout.header_bytes

    for end in range(start + 1, len(data), 97):
        assert refusal(data[:end]) is Reason.TRUNCATED, end


def test_a_deflated_file_cut_short_is_refused_as_truncated() -> None:
    assert refusal(file_of(with_pixels(), deflate=True)[:-3]) is Reason.TRUNCATED


def test_pixel_data_shorter_than_its_description_is_refused() -> None:
    assert refusal(file_of(with_pixels(Rows=5))) is Reason.PIXEL_DATA_SHORT


def test_pixel_data_longer_than_its_description_is_taken() -> None:
    assert parse_instance(file_of(with_pixels(Rows=3))).layout.frames.count == 1


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_a_missing_uid_is_refused_with_a_reason(keyword: str) -> None:
    assert refusal(file_of(minimal(**{keyword: None}))) is Reason.MISSING_UID
    assert refusal(file_of(minimal(**{keyword: ""}))) is Reason.MISSING_UID


@pytest.mark.parametrize("uid", ["1.2.x", "1..2", ".1", "1.", "1" * 65, "1.2\\1.3", "../etc", "1.2 3"])
def test_an_illegal_uid_is_refused_with_a_reason(uid: str) -> None:
    ds = minimal()
    ds.add_new(0x0020000D, "UN", uid.encode())
    assert refusal(file_of(ds)) is Reason.ILLEGAL_UID


def test_a_uid_with_a_leading_zero_is_taken_and_noted() -> None:
    ds = minimal()
    ds.add_new(0x0020000D, "UN", b"1.02.3")
    assert parse_instance(file_of(ds)).notes == (Note.LEADING_ZERO_UID,)


def test_another_sop_class_in_the_file_meta_is_refused_with_a_reason() -> None:
    data = encoded(minimal())
    header = file_header(
        transfer_syntax_uid=ExplicitVRLittleEndian,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        sop_instance_uid="1.2.3.4",
    )
    assert refusal(header + data) is Reason.SOP_CLASS_MISMATCH


def test_another_sop_instance_uid_in_the_file_meta_is_taken_and_noted() -> None:
    header = file_header(
        transfer_syntax_uid=ExplicitVRLittleEndian,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="1.2.3.5",
    )
    parsed = parse_instance(header + encoded(minimal()))
    assert parsed.sop_instance_uid == "1.2.3.4"
    assert parsed.notes == (Note.META_INSTANCE_UID_DIFFERS,)


def test_an_unknown_transfer_syntax_is_refused_with_a_reason() -> None:
    header = file_header(transfer_syntax_uid="1.2.3.99", sop_class_uid="1.2", sop_instance_uid="1.2.3.4")
    assert refusal(header + encoded(minimal())) is Reason.TRANSFER_SYNTAX_UNSUPPORTED


def test_no_transfer_syntax_is_refused_with_a_reason() -> None:
    assert refusal(shipped("meta_missing_tsyntax.dcm")) is Reason.MISSING_TRANSFER_SYNTAX


def test_a_media_directory_is_refused_with_a_reason() -> None:
    ds = minimal(SOPClassUID="1.2.840.10008.1.3.10")
    assert refusal(file_of(ds)) is Reason.SOP_CLASS_UNSUPPORTED


def test_sequences_nested_too_deep_are_refused_instead_of_exhausting_the_stack() -> None:
    item = Dataset()
    for _ in range(200):
        outer = Dataset()
        outer.ContentSequence = [item]
        item = outer
    assert refusal(file_of(minimal(ContentSequence=[item]))) is Reason.TOO_LARGE


@pytest.mark.parametrize("length", [0x40, 0xFFFFFFF0])
def test_a_length_beyond_the_end_is_refused_as_truncated(length: int) -> None:
    forged = b"\x7f\x00\x10\x00OB\x00\x00" + length.to_bytes(4, "little") + b"few"
    assert refusal(file_of(minimal()) + forged) is Reason.TRUNCATED


@given(
    name=st.sampled_from(["MR_small_RLE.dcm", "chrH32.dcm", "liver_1frame.dcm", "image_dfl.dcm", "rtplan.dcm"]),
    places=st.lists(
        st.tuples(st.integers(132, 3000), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=6
    ),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(name: str, places: list[tuple[int, int, bytes]]) -> None:
    damaged = bytearray(shipped(name))
    for start, length, replacement in places:
        damaged[start : start + length] = replacement
    try:
        parsed = parse_instance(bytes(damaged))
    except InstanceError as error:
        assert error.reason in Reason
    else:
        assert Layout.decode(parsed.layout.encode()) == parsed.layout


def test_what_the_carrier_announced_must_be_what_came() -> None:
    parsed = parse_instance(file_of(minimal()))

    check_expected(parsed)
    check_expected(parsed, sop_class_uid=parsed.sop_class_uid, sop_instance_uid="1.2.3.4", study_instance_uid="1.2.3")
    for expected, reason in [
        ({"sop_class_uid": "1.2"}, Reason.SOP_CLASS_MISMATCH),
        ({"sop_instance_uid": "1.2"}, Reason.SOP_INSTANCE_MISMATCH),
        ({"study_instance_uid": "1.2"}, Reason.STUDY_MISMATCH),
    ]:
        with pytest.raises(InstanceError) as caught:
            check_expected(parsed, **expected)
        assert caught.value.reason is reason


def test_a_header_made_for_a_received_data_set_is_read_by_pydicom() -> None:
    header = file_header(
        transfer_syntax_uid=ImplicitVRLittleEndian,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="1.2.3.4",
        source_ae_title="CT1",
    )
    ds = pydicom.dcmread(io.BytesIO(header + encoded(minimal(), ImplicitVRLittleEndian)))

    assert ds.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert ds.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert ds.file_meta.SourceApplicationEntityTitle == "CT1"
    assert ds.file_meta.FileMetaInformationGroupLength == len(header) - 144
    assert ds.PatientName == "Doe^Jane"


def test_every_reason_has_a_status_and_a_sentence_that_fits_an_error_comment() -> None:
    for reason in Reason:
        assert reason.failure_reason > 0
        assert 0 < len(reason.text) <= 64
