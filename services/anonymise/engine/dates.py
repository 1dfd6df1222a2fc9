"""Dates moved by whole days (PS3.15 E.3.6, Modified Dates): their order and the days between them stay.

All dates of a patient move by the same secret number of days, into the past. Times of day stay as they are: what
happened at midnight stays at midnight, and the time from an injection to an image stays what it was.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

LONGEST_SHIFT_DAYS = 3650
_DATE = re.compile(rb"(\d{4})\.?(\d{2})\.?(\d{2})")
_DATETIME = re.compile(rb"(\d{4})(\d{2})?(\d{2})?(\d{0,6}(?:\.\d{1,6})?)([+-]\d{4})?")
_TIME = re.compile(rb"(?:\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d{1,6})?)?)?)?")


def shifted(vr: str, value: bytes, days: int) -> bytes | None:
    """A value of VR DA, DT or TM, moved by `days`; None if it is no such value."""
    parts = [part.strip(b" \0") for part in value.split(b"\\")]
    move = {"DA": _shifted_date, "DT": _shifted_datetime, "TM": _unshifted_time}.get(vr)
    if move is None:
        return None
    moved = [move(part, days) if part else b"" for part in parts]
    return b"\\".join(part for part in moved if part is not None) if None not in moved else None


def is_temporal(vr: str, value: bytes) -> bool:
    """Whether `value` is what VR DA, DT or TM promises."""
    return shifted(vr, value, 0) is not None


def _shifted_date(value: bytes, days: int) -> bytes | None:
    found = _DATE.fullmatch(value)
    day = _day(found[1], found[2], found[3]) if found else None
    return _written(day, days) if day else None


def _shifted_datetime(value: bytes, days: int) -> bytes | None:
    found = _DATETIME.fullmatch(value)
    if found is None or (found[4] and not found[3]):
        return None
    # Of a year or a month alone the middle moves: the result is as coarse as the value was.
    day = _day(found[1], found[2] or b"07", found[3] or (b"15" if found[2] else b"01"))
    moved = _written(day, days) if day else None
    if moved is None:
        return None
    return moved[: 4 + 2 * bool(found[2]) + 2 * bool(found[3])] + found[4] + (found[5] or b"")


def _unshifted_time(value: bytes, _: int) -> bytes | None:
    return value if _TIME.fullmatch(value) else None


def _day(year: bytes, month: bytes, day: bytes) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _written(day: date, days: int) -> bytes | None:
    try:
        moved = day - timedelta(days=days)
    except OverflowError:
        return None
    return f"{moved:%Y%m%d}".encode().rjust(8, b"0")
