"""Canaries: values that can be told anywhere, each with the place where it was planted.

Texts, UIDs and numbers begin with a mark; a date cannot, so dates are of years in which nobody is examined now.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

_TEXT: Final = "ZQ7X"
_UID: Final = "2.25.7310467"
_DECIMAL: Final = "7.310467"
_FIRST_DAY: Final = date(1871, 1, 1)
_DAYS: Final = 365 * 28
_LARGEST_INTEGER: Final = 1_973_104_670
_TAG_DIGITS: Final = 6


class Canaries:
    """All canaries of a run.

    Attributes:
        planted: the place of each, by what is found of it.
    """

    def __init__(self, run: int) -> None:
        """`run`: tells the canaries of one run from those of another, below a million."""
        self._run = run
        self._next = 0
        self.planted: dict[str, str] = {}

    def value(self, vr: str, place: str) -> object | None:
        """A new canary for an element of this VR (PS3.5 6.2), or None: the VR has no room for one.

        Args:
            place: where it will be; told when it is found.
        """
        number = self._next
        if vr in ("AE", "SH", "CS", "LO", "LT", "ST", "UT", "UC", "UR", "PN"):
            value = told = self._text()
            if vr == "PN":
                value = f"{told}^{told}"
        elif vr == "UI":
            value = told = self._uid()
        elif vr == "DS":
            value = told = f"{_DECIMAL}{number:0{_TAG_DIGITS}}"
            self._next += 1
        elif vr == "IS":
            told = str(_LARGEST_INTEGER + number)
            value = told
            self._next += 1
        elif vr in ("DA", "DT", "TM"):
            return self._time(vr, place)
        elif vr in ("OB", "UN"):
            told = self._text()
            self.planted[told] = place
            return (told.encode() + b" ") * 4
        else:
            return None
        self.planted[told] = place
        return value

    def text(self, place: str) -> str:
        """A new canary as a text."""
        told = self._text()
        self.planted[told] = place
        return told

    def uid(self, place: str) -> str:
        """A new canary as a UID."""
        told = self._uid()
        self.planted[told] = place
        return told

    def _text(self) -> str:
        self._next += 1
        return f"{_TEXT}{self._run:06}{self._next - 1:06}"

    def _uid(self) -> str:
        self._next += 1
        return f"{_UID}{self._run:06}{self._next - 1:06}"

    def _time(self, vr: str, place: str) -> str:
        """A date is one of a few thousand; the first place that has it is told."""
        number = self._next
        self._next += 1
        day = f"{_FIRST_DAY + timedelta(days=(self._run * 37 + number) % _DAYS):%Y%m%d}"
        fraction = f"{number % 1_000_000:06}"
        match vr:
            case "DA":
                told = value = day
            case "DT":
                told, value = day, f"{day}101112.{fraction}"
            case _:
                return f"101112.{fraction}"  # a time of day alone tells of nobody, and is not looked for
        self.planted.setdefault(told, place)
        return value


_MARKS: Final = re.compile(
    rb"(?i:ZQ7X)(\d{12})"
    rb"|(2\.25\.7310467\d{12})"
    rb"|(?<![\d.])(7\.310467\d{6})(?!\d)"
    rb"|(?<![\d.])(19731\d{5})(?![\d.])"
    rb"|(?<![\d.])(18[7-9]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?:101112(?:\.\d{1,6})?)?(?!\d\d|\.)"
)


def _wide(mark: bytes, order: str) -> bytes:
    return b"".join(bytes((0, byte)) if order == "big" else bytes((byte, 0)) for byte in mark)


def _letters(shift: int) -> int:
    """How many letters of base64 depend on the bytes before, when there are so many of them."""
    return (shift * 8 + 5) // 6


_HIDDEN: Final = {
    **{f"UTF-16 {order} endian": _wide(_TEXT.encode(), order) for order in ("little", "big")},
    "hexadecimal": _TEXT.encode().hex().encode(),
    # The same bytes give other letters at each of three alignments; those that depend on their neighbours are left out.
    **{
        f"base64 ({shift})": base64.b64encode(b"\0" * shift + _TEXT.encode())[
            (shift * 8 + 5) // 6 : (shift + 4) * 8 // 6
        ]
        for shift in range(3)
    },
}
"""The mark of texts in other clothes. Too short to be sure of it: base64 of it may come about by chance."""


def find(data: bytes, canaries: Canaries) -> Iterator[str]:
    """The places of the canaries that are in `data`, in plain text and in other encodings."""
    for found in _MARKS.finditer(data):
        text, uid, decimal, integer, day = (part.decode() if part else "" for part in found.groups())
        told = f"{_TEXT}{text}" if text else uid or decimal or integer or day
        place = canaries.planted.get(told)
        if place is not None:
            yield place
    for name, mark in _HIDDEN.items():
        at = data.find(mark)
        while at >= 0:
            place = _undressed(data, at, name, canaries)
            if place is not None:
                yield f"{place}, as {name}"
                break
            at = data.find(mark, at + 1)


def _undressed(data: bytes, at: int, name: str, canaries: Canaries) -> str | None:
    """The place of the canary that begins at `at` in other clothes, or None: it is none."""
    length = len(_TEXT) + 12
    try:
        if name.startswith("UTF-16"):
            text = data[at : at + 2 * length].decode("utf-16-le" if "little" in name else "utf-16-be")
        elif name == "hexadecimal":
            text = bytes.fromhex(data[at : at + 2 * length].decode()).decode()
        else:
            shift = int(name[-2])
            start = at - _letters(shift)
            cut = data[start : start + 4 * ((shift + length + 2) // 3)]
            text = base64.b64decode(cut)[shift : shift + length].decode()
    except (ValueError, UnicodeDecodeError):
        return None
    return canaries.planted.get(text)
