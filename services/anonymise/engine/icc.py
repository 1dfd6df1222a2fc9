"""ICC profiles (ICC.1, ISO 15076-1) without their texts: colours are numbers, and only numbers stay."""

from __future__ import annotations

import struct

_HEADER, _ENTRY, _COUNT_AT = 128, 12, 128
_MOST_TAGS = 100
_LONGEST = 2**22
_NUMERIC = frozenset(
    b"XYZ curvparamft1mft2mAB mBA sf32uf32chrmsig viewmeas"[place : place + 4] for place in range(0, 52, 4)
)
_NEUTRAL = b"ANONYMOUS"
_TEXTS = {
    b"text": b"text" + bytes(4) + _NEUTRAL + b"\0",
    b"desc": b"desc" + bytes(4) + struct.pack(">L", len(_NEUTRAL) + 1) + _NEUTRAL + b"\0" + bytes(78),
    b"mluc": b"mluc"
    + bytes(4)
    + struct.pack(">LL2s2sLL", 1, 12, b"en", b"US", 2 * len(_NEUTRAL), 28)
    + _NEUTRAL.decode().encode("utf-16-be"),
}
_DATE = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)


def neutral(profile: bytes) -> bytes | None:
    """The same colours without names, dates and identifiers; None if this is no profile."""
    if not _HEADER + 4 <= len(profile) <= _LONGEST or profile[36:40] != b"acsp":
        return None
    (count,) = struct.unpack_from(">L", profile, _COUNT_AT)
    if count > _MOST_TAGS or len(profile) < _COUNT_AT + 4 + count * _ENTRY:
        return None
    kept: list[tuple[bytes, bytes]] = []
    for number in range(count):
        name, offset, size = struct.unpack_from(">4sLL", profile, _COUNT_AT + 4 + number * _ENTRY)
        content = profile[offset : offset + size]
        if len(content) != size or size < 8:
            return None
        if content[:4] in _NUMERIC:
            kept.append((name, content))
        elif content[:4] in _TEXTS:
            kept.append((name, _TEXTS[content[:4]]))
    return _written(profile, kept)


def _written(profile: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    position = _COUNT_AT + 4 + len(tags) * _ENTRY
    table, contents, places = b"", b"", dict[bytes, int]()
    for name, content in tags:
        if content not in places:  # tags may share their content
            contents += bytes(-(position + len(contents)) % 4)
            places[content] = position + len(contents)
            contents += content
        table += struct.pack(">4sLL", name, places[content], len(content))
    contents += bytes(-(position + len(contents)) % 4)
    header = bytearray(profile[:_HEADER])
    header[24:36] = _DATE
    header[48:64] = bytes(16)  # maker, model, attributes of the device
    header[80:_HEADER] = bytes(_HEADER - 80)  # creator, identifier, reserved
    header[0:4] = struct.pack(">L", position + len(contents))
    return bytes(header) + struct.pack(">L", len(tags)) + table + contents
