"""Text in a data set's Specific Character Set (0008,0005) -> str (PS3.3 C.12.1.1.2, PS3.5 6.1).

Bytes that do not belong to the declared set never stop a reading: they come out as U+FFFD.
"""

import re
from dataclasses import dataclass
from typing import Final

_ESCAPE: Final = b"\x1b"

_CODECS: Final = {
    # Defined terms without code extensions (PS3.3 Table C.12-2) and with them (C.12-3, C.12-4).
    "": "latin_1",
    "ISO_IR 6": "latin_1",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 166": "iso8859_11",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 58": "gb2312",
    "ISO 2022 GBK": "gbk",
    "ISO 2022 58": "gb2312",
}

_DESIGNATIONS: Final = {
    # Escape sequences that name the code element G1 (the upper half), PS3.3 Tables C.12-3 and C.12-4.
    b"-A": "latin_1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-F": "iso8859_7",
    b"-G": "iso8859_6",
    b"-H": "iso8859_8",
    b"-L": "iso8859_5",
    b"-M": "iso8859_9",
    b"-T": "iso8859_11",
    b"-b": "iso8859_15",
    b")I": "shift_jis",
    b"$)C": "euc_kr",
    b"$)A": "gb2312",
}
_TWO_BYTE_LOWER_HALF: Final = (b"$B", b"$@", b"$(D")
_RUN: Final = re.compile(rb"\x1b(\$[()][A-D]|\$[@AB]|[-()][A-Za-z])?([^\x1b]*)")

TEXT_DELIMITERS: Final = b"\\\r\n\f\t"
"""Characters after which the initial character sets hold again (PS3.5 6.1.2.5.3)."""
NAME_DELIMITERS: Final = TEXT_DELIMITERS + b"^="


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """How text of a data set is decoded.

    Attributes:
        declared: the data set says which sets it uses.
        codec: Python's codec of the initial set.
    """

    declared: bool = False
    codec: str = "latin_1"

    def decode(self, value: bytes, delimiters: bytes = TEXT_DELIMITERS) -> str:
        """Decodes a whole value, all its components and delimiters with it."""
        if value.isascii() and _ESCAPE not in value:
            # Also right for JIS X 0201, whose yen sign is the value delimiter.
            return value.decode("ascii")
        if not self.declared:
            return _guess(value)
        if _ESCAPE not in value:
            return value.decode(self.codec, errors="replace")
        return _decode_extended(value, self.codec, delimiters)


def character_set(terms: list[str]) -> CharacterSet:
    """Reads the values of Specific Character Set; an unknown term counts as the default repertoire."""
    first = terms[0].strip().upper().replace("ISO IR", "ISO_IR").replace("ISO-IR", "ISO_IR") if terms else ""
    if not first and len(terms) < 2:
        return CharacterSet()
    # With code extensions the single-byte sets are called ISO 2022 IR n.
    codec = _CODECS.get(first) or _CODECS.get(first.replace("ISO 2022 IR", "ISO_IR"), "latin_1")
    return CharacterSet(declared=True, codec=codec)


def _guess(value: bytes) -> str:
    # Not ASCII though nothing was declared: UTF-8 hardly ever happens by chance, and Latin-1 never fails.
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin_1")


def _decode_extended(value: bytes, initial: str, delimiters: bytes) -> str:
    """Decodes ISO 2022 code extensions: each escape sequence opens a run (PS3.5 6.1.2.5)."""
    head, escape, rest = value.partition(_ESCAPE)
    decoded = [head.decode(initial, errors="replace")]
    upper = initial
    for run in _RUN.finditer(escape + rest):
        designation, content = run[1] or b"", run[2]
        if designation in _TWO_BYTE_LOWER_HALF:
            # Delimiters cannot occur here: their codes are halves of characters.
            shifted = _ESCAPE + designation + content
            decoded.append(shifted.decode("iso2022_jp_2", errors="replace"))
            continue
        upper = _DESIGNATIONS.get(designation, upper)
        end = next((i for i, byte in enumerate(content) if byte in delimiters), len(content))
        decoded.append(content[:end].decode(upper, errors="replace"))
        if end < len(content):
            upper = initial
            decoded.append(content[end:].decode(initial, errors="replace"))
    return "".join(decoded)
