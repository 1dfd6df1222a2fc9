"""Which instances are refused, and with which reason."""

import struct

import pytest

from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.errors import Reason, RefusedError
from tests.unit.anonymise import planted
from tests.unit.anonymise.planted import ct, element, part10

POLICY = Policy(Pseudonyms(b"k" * 32))


def refusal(data: bytes) -> str:
    with pytest.raises(RefusedError) as refused:
        deidentify(data, POLICY)
    return refused.value.code


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        "1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
        "1.2.840.10008.5.1.4.1.1.9.1.1",  # 12-lead ECG
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
        "1.2.840.10008.5.1.4.1.1.6.1",  # Ultrasound
        "1.2.840.10008.5.1.4.1.1.77.1.4.1",  # Video Photographic
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.3.4.5",
        "",
    ],
)
def test_what_is_no_image_volume_is_refused(sop_class_uid: str) -> None:
    assert refusal(part10(ct(element(0x00080016, "UI", sop_class_uid.encode())))) == Reason.SOP_CLASS


@pytest.mark.parametrize("value", [b"YES", b"yes ", b"PERHAPS"])
def test_text_burned_into_the_pixels_is_refused(value: bytes) -> None:
    assert refusal(part10(ct(element(0x00280301, "CS", value)))) == Reason.BURNED_IN


def test_pixels_without_burned_in_text_are_let_in() -> None:
    deidentify(part10(ct(element(0x00280301, "CS", b"NO"))), POLICY)


@pytest.mark.parametrize(("tag", "value"), [(0x60000100, 16), (0x60020102, 12)])
def test_an_overlay_in_the_unused_bits_of_the_pixels_is_refused(tag: int, value: int) -> None:
    assert refusal(part10(ct(element(tag, "US", struct.pack("<H", value))))) == Reason.EMBEDDED_OVERLAY


@pytest.mark.parametrize("pixels", [planted.PIXELS + b"Kanarien", planted.PIXELS[:-2]])
def test_bytes_behind_the_last_pixel_are_refused(pixels: bytes) -> None:
    assert refusal(part10(ct(pixels=element(0x7FE00010, "OW", pixels)))) == Reason.PIXEL_DATA


def test_native_pixels_in_an_encapsulated_transfer_syntax_are_refused() -> None:
    assert refusal(part10(ct(), syntax=planted.JPEG_LS)) == Reason.PIXEL_DATA


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.94", "1.2.3.4", "", planted.CT],
)
def test_a_transfer_syntax_that_hides_pixels_is_refused(syntax: str) -> None:
    assert refusal(part10(ct(), syntax=syntax)) == Reason.TRANSFER_SYNTAX


@pytest.mark.parametrize("cut", [200, 400, 600, 700])
def test_a_truncated_file_is_refused(cut: int) -> None:
    assert refusal(part10(ct())[:cut]) in (Reason.UNREADABLE, Reason.SOP_CLASS)


@pytest.mark.parametrize("data", [b"", b"no dicom", bytes(128) + b"DICM", b"".join(ct())])
def test_what_is_no_part_10_file_is_refused(data: bytes) -> None:
    assert refusal(data) in (Reason.UNREADABLE, Reason.TRANSFER_SYNTAX)


def test_every_reason_has_a_sentence_without_values() -> None:
    assert all(reason.text and not any(c.isdigit() for c in reason.text) for reason in Reason)
