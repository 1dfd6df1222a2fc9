"""Which instances may enter at all: image volumes whose pixels, as far as their header tells, name nobody."""

from __future__ import annotations

from services.anonymise.elements import PIXEL_DATA, Element, File
from services.anonymise.errors import Reason, RefusedError

SOP_CLASSES = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
        "1.2.840.10008.5.1.4.1.1.13.1.1",  # X-Ray 3D Angiographic Image
        "1.2.840.10008.5.1.4.1.1.13.1.2",  # X-Ray 3D Craniofacial Image
        "1.2.840.10008.5.1.4.1.1.13.1.3",  # Breast Tomosynthesis Image
        "1.2.840.10008.5.1.4.1.1.20",  # Nuclear Medicine Image
        "1.2.840.10008.5.1.4.1.1.128",  # Positron Emission Tomography Image
        "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET Image
        "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET Image
    )
)
"""Images that are reconstructed, not photographed or captured. Secondary captures, ultrasound, visible light, video,
structured reports, waveforms and encapsulated documents carry text where no table reaches; they come with their own
cleaning."""

_SOP_CLASS_UID = 0x00080016
_BURNED_IN_ANNOTATION = 0x00280301
_SAMPLES_PER_PIXEL, _NUMBER_OF_FRAMES, _ROWS, _COLUMNS, _BITS_ALLOCATED = (
    0x00280002,
    0x00280008,
    0x00280010,
    0x00280011,
    0x00280100,
)
_OVERLAY_BITS_ALLOCATED, _OVERLAY_BIT_POSITION = 0x0100, 0x0102


def admit(file: File) -> None:
    """Let the instance in.

    Raises:
        RefusedError: it may not leave, whatever is done to its header.
    """
    root = {element.tag: element for element in file.elements}
    sop_class_uid = _text(root.get(_SOP_CLASS_UID))
    if sop_class_uid not in SOP_CLASSES or file.sop_class_uid not in ("", sop_class_uid):
        raise RefusedError(Reason.SOP_CLASS)
    if _text(root.get(_BURNED_IN_ANNOTATION)).upper() not in ("", "NO"):
        raise RefusedError(Reason.BURNED_IN)
    for element in file.elements:
        if _is_embedded_overlay(element):
            raise RefusedError(Reason.EMBEDDED_OVERLAY)
    pixels = root.get(PIXEL_DATA)
    if (
        pixels is not None
        and not pixels.undefined
        and (file.transfer_syntax.is_encapsulated or not _fits(root, pixels))
    ):
        raise RefusedError(Reason.PIXEL_DATA)


def _is_embedded_overlay(element: Element) -> bool:
    """Whether this says that an overlay lies in the pixels' unused bits (retired; PS3.5 8.1.2)."""
    if element.tag >> 24 != 0x60 or element.tag >> 16 & 1:
        return False
    value = int.from_bytes(bytes(element.value), "little" if element.coding.order == "<" else "big")
    match element.tag & 0xFFFF:
        case 0x0100:
            return value > 1
        case 0x0102:
            return value > 0
        case _:
            return False


def _fits(root: dict[int, Element], pixels: Element) -> bool:
    """Whether native Pixel Data is as long as it has to be: what lies behind the last pixel is no pixel."""
    frames = _text(root.get(_NUMBER_OF_FRAMES)) or "1"
    if not frames.isdigit():
        return False
    numbers = (_number(root.get(tag)) for tag in (_ROWS, _COLUMNS, _SAMPLES_PER_PIXEL, _BITS_ALLOCATED))
    rows, columns, samples, bits = numbers
    length = (int(frames) * rows * columns * samples * bits + 7) // 8
    return len(pixels.value) in (length, length + length % 2)


def _number(element: Element | None) -> int:
    if element is None or len(element.value) != 2:
        return 0
    return int.from_bytes(bytes(element.value), "little" if element.coding.order == "<" else "big")


def _text(element: Element | None) -> str:
    return bytes(element.value).strip(b"\0 ").decode("ascii", "replace") if element is not None else ""
