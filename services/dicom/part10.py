"""A PS3.10 file: is it one, is it whole, what is in it; and the header that makes one (PS3.10 7)."""

import io
import zlib
from dataclasses import dataclass
from typing import Final

import pydicom
from pydicom.dataset import FileDataset

from services.dicom import dicom_json, transfer_syntaxes, uids
from services.dicom.elements import Broken, Element, Fault, Walker
from services.dicom.layout import Layout
from services.dicom.pixels import PixelFault, index_pixels
from services.dicom.reasons import InstanceError, Note, Reason
from services.dicom.transfer_syntaxes import TransferSyntax

__all__ = [
    "InstanceError",
    "Note",
    "ParsedInstance",
    "Reason",
    "check_expected",
    "data_set_start",
    "dataset",
    "file_header",
    "inflated",
    "is_short",
    "parse_instance",
]

IMPLEMENTATION_CLASS_UID: Final = "2.25.269833236216346873425036384061104205312"
IMPLEMENTATION_VERSION_NAME: Final = "PLEXUS_0_1"

_PREAMBLE: Final = 128
_META_START: Final = _PREAMBLE + 4
_MAX_INFLATED: Final = 2 * 1024**3
_DICOMDIR: Final = "1.2.840.10008.1.3.10"
_SHORT_BYTES: Final = 64 * 1024
_PIXEL_TAGS: Final = b"\xe0\x7f\x10\x00"


@dataclass(frozen=True, slots=True)
class ParsedInstance:
    """What one reading of a PS3.10 file gives.

    Attributes:
        study_instance_uid: (0020,000D).
        series_instance_uid: (0020,000E).
        sop_instance_uid: (0008,0018).
        sop_class_uid: (0008,0016).
        transfer_syntax_uid: (0002,0010).
        attributes: the data set in the DICOM JSON model, as Python objects.
        metadata: the same as JSON bytes.
        layout: where frames and bulk data lie.
        notes: what was odd and let pass.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    attributes: dicom_json.DicomJson
    metadata: bytes
    layout: Layout
    notes: tuple[Note, ...] = ()


def parse_instance(data: bytes | memoryview) -> ParsedInstance:
    """Reads a PS3.10 file to its end, without decoding or copying pixels.

    Args:
        data: the whole file (bytes, or a memoryview of a mapped file).

    Raises:
        InstanceError: it is not a whole composite instance that can be identified.
    """
    view = memoryview(data)
    meta, start = _file_meta(view)
    syntax = _transfer_syntax(meta)
    stored_bytes = len(view)
    if syntax.deflated:
        view = memoryview(inflated(view, start))
    walker = Walker(view, explicit=syntax.explicit, big_endian=syntax.big_endian)
    try:
        elements = walker.walk(start, len(view))
    except Broken as broken:
        raise InstanceError(_REASON_OF_FAULT[broken.fault]) from None
    identity = _identity(view, elements, meta)
    encoder = dicom_json.Encoder(view, identity.sop_instance_uid)
    attributes = encoder.encode(elements)
    frames, pixel_fault = index_pixels(view, elements, attributes, syntax)
    if pixel_fault is PixelFault.SHORT:
        raise InstanceError(Reason.PIXEL_DATA_SHORT)
    pixels_start = next((element.start for element in elements if element.tag >> 16 == 0x7FE0), len(view))
    notes = {Note(oddity) for oddity in walker.oddities} | identity.notes
    if pixel_fault is not None:
        notes.add(Note(pixel_fault.value))
    return ParsedInstance(
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=identity.sop_class_uid,
        transfer_syntax_uid=syntax.uid,
        attributes=attributes,
        metadata=dicom_json.dumps(attributes),
        layout=Layout(
            header_bytes=stored_bytes if syntax.deflated else pixels_start,
            deflated=syntax.deflated,
            big_endian=syntax.big_endian,
            bulk=encoder.bulk,
            frames=frames,
        ),
        notes=tuple(sorted(notes)),
    )


def check_expected(
    parsed: ParsedInstance, *, sop_class_uid: str = "", sop_instance_uid: str = "", study_instance_uid: str = ""
) -> None:
    """Compares an instance with what its carrier said of it; "" was not said.

    Raises:
        InstanceError: they disagree.
    """
    if sop_class_uid not in ("", parsed.sop_class_uid):
        raise InstanceError(Reason.SOP_CLASS_MISMATCH)
    if sop_instance_uid not in ("", parsed.sop_instance_uid):
        raise InstanceError(Reason.SOP_INSTANCE_MISMATCH)
    if study_instance_uid not in ("", parsed.study_instance_uid):
        raise InstanceError(Reason.STUDY_MISMATCH)


def claimed(data: bytes | memoryview) -> tuple[str, str]:
    """What the file meta information alone says of an instance that cannot be taken, to name it in an answer.

    Returns:
        SOP Class UID and SOP Instance UID (PS3.10 7.1); both "" unless both are there and legal.
    """
    try:
        meta, _ = _file_meta(memoryview(data))
    except InstanceError:
        return "", ""
    found = meta.get(0x0002, ""), meta.get(0x0003, "")
    return found if all(uids.is_legal(uid) for uid in found) else ("", "")


def is_short(data: bytes) -> bool:
    """Tells whether little stands before the pixels, so that a reading takes less than some milliseconds."""
    return len(data) <= _SHORT_BYTES or data.find(_PIXEL_TAGS, 0, _SHORT_BYTES) >= 0


def data_set_start(data: bytes | memoryview) -> int:
    """Finds where the data set begins in a file, or in the beginning of one: behind its file meta information.

    Raises:
        InstanceError: it is no PS3.10 file.
    """
    return _file_meta(memoryview(data))[1]


def file_header(
    *, transfer_syntax_uid: str, sop_class_uid: str, sop_instance_uid: str, source_ae_title: str = ""
) -> bytes:
    """Makes preamble and file meta information (PS3.10 7.1), to put before a data set as it was received.

    Args:
        transfer_syntax_uid: of the presentation context that carried the data set.
        sop_class_uid: as the C-STORE request said.
        sop_instance_uid: as the C-STORE request said.
        source_ae_title: the sender, when there is one.
    """
    elements = [
        _meta_element(0x0002, b"UI", _uid_bytes(sop_class_uid)),
        _meta_element(0x0003, b"UI", _uid_bytes(sop_instance_uid)),
        _meta_element(0x0010, b"UI", _uid_bytes(transfer_syntax_uid)),
        _meta_element(0x0012, b"UI", _uid_bytes(IMPLEMENTATION_CLASS_UID)),
        _meta_element(0x0013, b"SH", _padded(IMPLEMENTATION_VERSION_NAME.encode(), b" ")),
    ]
    if source_ae_title:
        elements.append(_meta_element(0x0016, b"AE", _padded(source_ae_title.encode("ascii", "replace"), b" ")))
    version = b"\x02\x00\x01\x00OB\x00\x00" + (2).to_bytes(4, "little") + b"\x00\x01"
    group = version + b"".join(elements)
    length = _meta_element(0x0000, b"UL", len(group).to_bytes(4, "little"))
    return bytes(_PREAMBLE) + b"DICM" + length + group


def dataset(data: bytes | memoryview) -> FileDataset:
    """Reads a file that `parse_instance` took with pydicom, up to Pixel Data, for those who need its objects."""
    return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)


def inflated(data: bytes | memoryview, start: int | None = None) -> bytes:
    """Gives a deflated file (PS3.5 A.5) with its data set inflated: what the offsets of its layout count in.

    Raises:
        InstanceError: the stream is cut short, broken, or larger than we take.
    """
    view = memoryview(data)
    if start is None:
        _, start = _file_meta(view)
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = stream.decompress(view[start:], _MAX_INFLATED)
    except zlib.error:
        raise InstanceError(Reason.MALFORMED) from None
    if stream.unconsumed_tail:
        raise InstanceError(Reason.TOO_LARGE)
    if not stream.eof:
        raise InstanceError(Reason.TRUNCATED)
    return bytes(view[:start]) + content


_REASON_OF_FAULT: Final = {
    Fault.TRUNCATED: Reason.TRUNCATED,
    Fault.MALFORMED: Reason.MALFORMED,
    Fault.TOO_LARGE: Reason.TOO_LARGE,
}


@dataclass(frozen=True, slots=True)
class _Identity:
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    notes: frozenset[Note]


def _file_meta(view: memoryview) -> tuple[dict[int, str], int]:
    """Reads the UIDs of group 0002 and where the data set starts."""
    if len(view) < _META_START or view[_PREAMBLE:_META_START].tobytes() != b"DICM":
        raise InstanceError(Reason.NOT_DICOM)
    position = _META_START
    found: dict[int, str] = {}
    while position + 8 <= len(view) and view[position : position + 2].tobytes() == b"\x02\x00":
        number = int.from_bytes(view[position + 2 : position + 4], "little")
        long_form = bytes(view[position + 4 : position + 6]) in (b"OB", b"UN", b"OW", b"UT")
        offset = position + (12 if long_form else 8)
        length = int.from_bytes(view[position + 8 : offset] if long_form else view[position + 6 : offset], "little")
        position = offset + length
        if position > len(view):
            raise InstanceError(Reason.TRUNCATED)
        if number in (0x0002, 0x0003, 0x0010):
            found[number] = _uid(bytes(view[offset:position]))
    if position >= len(view):
        raise InstanceError(Reason.TRUNCATED)
    return found, position


def _transfer_syntax(meta: dict[int, str]) -> TransferSyntax:
    if meta.get(0x0002) == _DICOMDIR:
        raise InstanceError(Reason.SOP_CLASS_UNSUPPORTED)
    if not (uid := meta.get(0x0010)):
        raise InstanceError(Reason.MISSING_TRANSFER_SYNTAX)
    if (syntax := transfer_syntaxes.lookup(uid)) is None:
        raise InstanceError(Reason.TRANSFER_SYNTAX_UNSUPPORTED)
    return syntax


def _identity(view: memoryview, elements: list[Element], meta: dict[int, str]) -> _Identity:
    wanted = (0x0020000D, 0x0020000E, 0x00080018, 0x00080016)
    values = {
        element.tag: _uid(bytes(view[element.offset : element.offset + element.length]))
        for element in elements
        if element.tag in wanted
    }
    if values.get(0x00080016) == _DICOMDIR:
        raise InstanceError(Reason.SOP_CLASS_UNSUPPORTED)
    if not all(values.get(tag) for tag in wanted):
        raise InstanceError(Reason.MISSING_UID)
    if not all(uids.is_legal(uid) for uid in values.values()):
        raise InstanceError(Reason.ILLEGAL_UID)
    study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid = (values[tag] for tag in wanted)
    if meta.get(0x0002) not in (None, "", sop_class_uid):
        raise InstanceError(Reason.SOP_CLASS_MISMATCH)
    notes = set()
    if not meta.get(0x0002) or not meta.get(0x0003):
        notes.add(Note.META_INCOMPLETE)
    elif meta[0x0003] != sop_instance_uid:
        # Common where a tool gave the data set a new UID. The data set identifies the instance (PS3.5 9.1).
        notes.add(Note.META_INSTANCE_UID_DIFFERS)
    if any(uids.has_leading_zero(uid) for uid in values.values()):
        notes.add(Note.LEADING_ZERO_UID)
    return _Identity(study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, frozenset(notes))


def _uid(raw: bytes) -> str:
    return raw.decode("latin_1").strip(" \0")


def _uid_bytes(uid: str) -> bytes:
    return _padded(uid.encode("ascii", "replace"), b"\0")


def _padded(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value


def _meta_element(number: int, vr: bytes, value: bytes) -> bytes:
    return b"\x02\x00" + number.to_bytes(2, "little") + vr + len(value).to_bytes(2, "little") + value
