"""Small DICOM files with anything in them, built byte by byte, so that no writer mends what a test plants."""

import struct
from collections.abc import Iterable

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_LS = "1.2.840.10008.1.2.4.80"
STUDY, SERIES, INSTANCE, FRAME = "1.3.6.1.4.1.9.1", "1.3.6.1.4.1.9.2", "1.3.6.1.4.1.9.3", "1.3.6.1.4.1.9.4"
LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
PIXELS = bytes(range(128))
ROWS, COLUMNS = 8, 8


def element(tag: int, vr: str, value: bytes, *, order: str = "<", explicit: bool = True) -> bytes:
    """One element of defined length; a value of odd length is padded."""
    value += b"\0" * (len(value) % 2) if vr in ("UI", "OB", "UN") else b" " * (len(value) % 2)
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack(order + "L", len(value)) + value
    if vr in LONG:
        return head + vr.encode() + b"\0\0" + struct.pack(order + "L", len(value)) + value
    return head + vr.encode() + struct.pack(order + "H", len(value)) + value


def items(*contents: bytes, order: str = "<") -> bytes:
    """Items of defined length."""
    return b"".join(struct.pack(order + "HHL", 0xFFFE, 0xE000, len(content)) + content for content in contents)


def open_sequence(tag: int, *contents: bytes, vr: str = "SQ") -> bytes:
    """A sequence of undefined length with items of undefined length."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode() + b"\0\0\xff\xff\xff\xff"
    body = b"".join(b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + c + b"\xfe\xff\x0d\xe0\0\0\0\0" for c in contents)
    return head + body + b"\xfe\xff\xdd\xe0\0\0\0\0"


def fragments(*parts: bytes) -> bytes:
    """Encapsulated Pixel Data with an empty offset table."""
    head = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    return head + items(*parts) + b"\xfe\xff\xdd\xe0\0\0\0\0"


def ct(*planted: bytes, pixels: bytes | None = None, order: str = "<", explicit: bool = True) -> list[bytes]:
    """The elements of a CT slice, with `planted` ones among them (they win over those of the same tag)."""

    def one(tag: int, vr: str, value: bytes) -> bytes:
        return element(tag, vr, value, order=order, explicit=explicit)

    def number(value: int) -> bytes:
        return struct.pack(order + "H", value)

    usual = [
        one(0x00080008, "CS", b"ORIGINAL\\PRIMARY\\AXIAL"),
        one(0x00080016, "UI", CT.encode()),
        one(0x00080018, "UI", INSTANCE.encode()),
        one(0x00080060, "CS", b"CT"),
        one(0x00100010, "PN", b"Doe^Jane"),
        one(0x00100020, "LO", b"MRN-4711-0815"),
        one(0x0020000D, "UI", STUDY.encode()),
        one(0x0020000E, "UI", SERIES.encode()),
        one(0x00200032, "DS", b"-10.5\\20\\30.25"),
        one(0x00200037, "DS", b"1\\0\\0\\0\\1\\0"),
        one(0x00200052, "UI", FRAME.encode()),
        one(0x00280002, "US", number(1)),
        one(0x00280004, "CS", b"MONOCHROME2"),
        one(0x00280010, "US", number(ROWS)),
        one(0x00280011, "US", number(COLUMNS)),
        one(0x00280030, "DS", b"0.7\\0.7"),
        one(0x00280100, "US", number(16)),
        one(0x00280103, "US", number(1)),
        one(0x00281053, "DS", b"1"),
    ]
    by_tag = {tag_of(e, order): e for e in (*usual, *planted)}
    if pixels != b"":
        by_tag[0x7FE00010] = pixels or one(0x7FE00010, "OW", PIXELS)
    return [by_tag[tag] for tag in sorted(by_tag)]


def tag_of(written: bytes, order: str = "<") -> int:
    """The tag of a written element."""
    group, number = struct.unpack_from(order + "HH", written)
    return int(group) << 16 | int(number)


def part10(elements: Iterable[bytes], *, syntax: str = EXPLICIT, preamble: bytes = b"", meta: bytes = b"") -> bytes:
    """A PS3.10 file."""
    body = (
        element(0x00020001, "OB", b"\0\1")
        + element(0x00020002, "UI", CT.encode())
        + element(0x00020003, "UI", INSTANCE.encode())
        + element(0x00020010, "UI", syntax.encode())
        + meta
    )
    group = element(0x00020000, "UL", struct.pack("<L", len(body)))
    return preamble.ljust(128, b"\0") + b"DICM" + group + body + b"".join(elements)
