"""How pixels begin and end in a data set: native, or in fragments behind an offset table (PS3.5 A.4, PS3.3 C.7.6.3)."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from struct import Struct
from typing import Final

END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
"""The sequence delimiter behind the last fragment."""

_TAG: Final = Struct("<HH")
_LENGTH: Final = Struct("<I")
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = b"\xfe\xff\x00\xe0"
_ITEM_HEADER: Final = 8


def element_head(tag: int, vr: str, length: int, *, explicit: bool) -> bytes:
    """Give what stands before the value of a binary element."""
    head = _TAG.pack(tag >> 16, tag & 0xFFFF)
    return head + (vr.encode() + b"\0\0" if explicit else b"") + _LENGTH.pack(length)


def item_head(length: int) -> bytes:
    """Give what stands before a fragment of an even length."""
    return _ITEM + _LENGTH.pack(length)


def encapsulated_head(lengths: Sequence[int]) -> bytes:
    """Give what stands before the first fragment, with a table of where each frame begins.

    The Basic Offset Table tells it, or where the frames are more than that can count the Extended Offset Table.

    Args:
        lengths: of the frames, each of one fragment; even.
    """
    starts = [0, *accumulate(length + _ITEM_HEADER for length in lengths)][:-1]
    pixels = element_head(0x7FE00010, "OB", _UNDEFINED, explicit=True)
    if starts and starts[-1] > _UNDEFINED:
        table, sizes = _words("Q", starts), _words("Q", lengths)
        extended = element_head(0x7FE00001, "OV", len(table), explicit=True) + table
        extended += element_head(0x7FE00002, "OV", len(sizes), explicit=True) + sizes
        return extended + pixels + item_head(0)
    table = _words("I", starts)
    return pixels + item_head(len(table)) + table


def _words(kind: str, numbers: Iterable[int]) -> bytes:
    values = list(numbers)
    return Struct(f"<{len(values)}{kind}").pack(*values)
