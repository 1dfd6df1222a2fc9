"""The value of one element -> the values of the DICOM JSON model (PS3.18 F.2.3), by VR.

An invalid number stays what it is, as a string (PS3.18 Table F.2.3-1 allows both), so that nothing is lost or invented.
"""

import math
from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from services.dicom.charsets import NAME_DELIMITERS, CharacterSet

BINARY: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
"""VRs whose value is bytes: InlineBinary or BulkDataURI (PS3.18 F.2.6, F.2.7)."""

WORD_BYTES: Final = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
"""Bytes a word of the binary VRs whose byte order depends on the transfer syntax (PS3.5 7.3)."""

_PADDING: Final = " \0"
_SAFE_INTEGER: Final = 2**53
_NUMBERS: Final = {
    "US": ("H", 2),
    "SS": ("h", 2),
    "UL": ("L", 4),
    "SL": ("l", 4),
    "UV": ("Q", 8),
    "SV": ("q", 8),
    "FL": ("f", 4),
    "FD": ("d", 8),
}

Json = Any  # str | int | float | dict | None: a recursive type that mypy cannot narrow helps nobody here


def json_values(vr: str, raw: bytes, *, little: bool, charset: CharacterSet) -> list[Json]:
    """Gives the JSON values of one element of a VR that is neither SQ nor in `BINARY`."""
    if not raw:
        return []
    if number := _NUMBERS.get(vr):
        return _numbers(raw, *number, little=little)
    if vr == "AT":
        return _tags(raw, little=little)
    if convert := _CONVERT.get(vr):
        return convert(raw, charset)
    return _ascii(raw, charset)


def _numbers(raw: bytes, code: str, size: int, *, little: bool) -> list[Json]:
    count = len(raw) // size
    values: list[Json] = list(Struct(f"{'<' if little else '>'}{count}{code}").unpack_from(raw))
    if code in "fd":
        return [value if math.isfinite(value) else _not_finite(value) for value in values]
    if code in "Qq":
        return [value if -_SAFE_INTEGER <= value <= _SAFE_INTEGER else str(value) for value in values]
    return values


def _not_finite(value: float) -> str:
    # JSON has no such numbers.
    return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _unless_empty(values: list[Json]) -> list[Json]:
    return [] if len(values) == 1 and values[0] is None else values


def _ascii(raw: bytes, _: CharacterSet) -> list[Json]:
    text = raw.decode("latin_1")
    return _unless_empty([part.strip(_PADDING) or None for part in text.split("\\")])


def _text(raw: bytes, charset: CharacterSet) -> list[Json]:
    return _unless_empty([part.strip(_PADDING) or None for part in charset.decode(raw).split("\\")])


def _one_text(raw: bytes, charset: CharacterSet) -> list[Json]:
    # Backslash is an ordinary character in these, and leading spaces count (PS3.5 6.2).
    text = charset.decode(raw).rstrip(_PADDING)
    return [text] if text else []


def _url(raw: bytes, _: CharacterSet) -> list[Json]:
    text = raw.decode("latin_1").rstrip(_PADDING)
    return [text] if text else []


def _names(raw: bytes, charset: CharacterSet) -> list[Json]:
    return _unless_empty([_name(part) for part in charset.decode(raw, NAME_DELIMITERS).split("\\")])


def _name(text: str) -> Json:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False)
    name = {group: stripped for group, content in groups if (stripped := content.strip(_PADDING))}
    return name or None


def _integers(raw: bytes, _: CharacterSet) -> list[Json]:
    return _unless_empty([_integer(part.strip(_PADDING)) for part in raw.decode("latin_1").split("\\")])


def _integer(text: str) -> Json:
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        decimal = _decimal(text)
        return decimal if isinstance(decimal, int) else text
    # An IS has 32 bits (PS3.5 6.2); what has more than 64 no reader of JSON would leave whole.
    return value if "_" not in text and -(2**63) <= value < 2**63 else text


def _decimals(raw: bytes, _: CharacterSet) -> list[Json]:
    return _unless_empty([_decimal(part.strip(_PADDING)) for part in raw.decode("latin_1").split("\\")])


def _decimal(text: str) -> Json:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value) or "_" in text:
        return text
    return int(value) if value.is_integer() and abs(value) < _SAFE_INTEGER else value


def _tags(raw: bytes, *, little: bool) -> list[Json]:
    numbers = _numbers(raw[: len(raw) // 4 * 4], "H", 2, little=little)
    return [f"{group:04X}{element:04X}" for group, element in zip(numbers[::2], numbers[1::2], strict=True)]


_CONVERT: Final[dict[str, Callable[[bytes, CharacterSet], list[Json]]]] = {
    "LO": _text,
    "SH": _text,
    "UC": _text,
    "ST": _one_text,
    "LT": _one_text,
    "UT": _one_text,
    "UR": _url,
    "PN": _names,
    "IS": _integers,
    "DS": _decimals,
}
