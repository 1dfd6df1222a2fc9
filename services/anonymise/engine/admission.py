"""Which instances may enter at all: those of a kind that the profile names, whose pixels name nobody as far as their
header tells."""

from __future__ import annotations

from services.anonymise.engine.elements import PIXELS, Element, File, is_encapsulated
from services.anonymise.engine.kinds import Kind, kind_of
from services.anonymise.engine.profile import Documents, Profile
from services.anonymise.errors import Reason, RefusedError

_SOP_CLASS_UID = 0x00080016
_BURNED_IN_ANNOTATION = 0x00280301
_SAMPLES_PER_PIXEL, _NUMBER_OF_FRAMES, _ROWS, _COLUMNS, _BITS_ALLOCATED = (
    0x00280002,
    0x00280008,
    0x00280010,
    0x00280011,
    0x00280100,
)
_PHOTOMETRIC_INTERPRETATION = 0x00280004
_OVERLAY_BITS_ALLOCATED, _OVERLAY_BIT_POSITION = 0x0100, 0x0102
_SUBSAMPLED = {"YBR_FULL_422": (2, 3), "YBR_PARTIAL_422": (2, 3), "YBR_PARTIAL_420": (1, 2)}
"""Colour whose native pixels are this part of their samples (PS3.3 C.7.6.3.1.2)."""


def admit(file: File, profile: Profile, *, pixels_are_seen: bool = False) -> None:
    """Let the instance in.

    Args:
        pixels_are_seen: a cleaner of pixels looks at it next, and judges what is burned in.

    Raises:
        RefusedError: it may not leave, whatever is done to its header.
    """
    root = {element.tag: element for element in file.elements}
    sop_class_uid = _text(root.get(_SOP_CLASS_UID))
    if file.sop_class_uid not in ("", sop_class_uid):
        raise RefusedError(Reason.SOP_CLASS)
    kind = admitted_kind(sop_class_uid, profile)
    if not pixels_are_seen and kind is not Kind.DOCUMENTS:
        burned_in = _text(root.get(_BURNED_IN_ANNOTATION)).upper()
        if burned_in not in ("", "NO") or (kind is Kind.PICTURES and burned_in != "NO"):
            raise RefusedError(Reason.BURNED_IN)
    for element in file.elements:
        if _is_embedded_overlay(element):
            raise RefusedError(Reason.EMBEDDED_OVERLAY)
    for tag in PIXELS & root.keys():
        pixels = root[tag]
        if not pixels.undefined and (is_encapsulated(file.transfer_syntax) or not _fits(root, pixels)):
            raise RefusedError(Reason.PIXEL_DATA)


def admitted_kind(sop_class_uid: str, profile: Profile) -> Kind:
    """The kind of a SOP class that the profile lets out.

    Raises:
        RefusedError: it does not.
    """
    kind = kind_of(sop_class_uid)
    if kind is None or kind not in profile.kinds:
        raise RefusedError(Reason.SOP_CLASS)
    if kind is Kind.DOCUMENTS and profile.documents is Documents.REFUSE:
        raise RefusedError(Reason.DOCUMENT)
    return kind


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
    """Whether native pixels are as long as they have to be: what lies behind the last pixel is no pixel."""
    frames = _text(root.get(_NUMBER_OF_FRAMES)) or "1"
    if not frames.isdigit():
        return False
    numbers = (_number(root.get(tag)) for tag in (_ROWS, _COLUMNS, _SAMPLES_PER_PIXEL, _BITS_ALLOCATED))
    rows, columns, samples, bits = numbers
    times, over = _SUBSAMPLED.get(_text(root.get(_PHOTOMETRIC_INTERPRETATION)), (1, 1))
    length = (int(frames) * rows * columns * samples * bits * times // over + 7) // 8
    return len(pixels.value) in (length, length + length % 2)


def _number(element: Element | None) -> int:
    if element is None or len(element.value) != 2:
        return 0
    return int.from_bytes(bytes(element.value), "little" if element.coding.order == "<" else "big")


def _text(element: Element | None) -> str:
    return bytes(element.value).strip(b"\0 ").decode("ascii", "replace") if element is not None else ""
