"""When a model's rule lets its jobs begin, as the card says it: hours of the site's clock, and days of the week."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any, Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Schedule:
    """From when until when jobs begin; past midnight where the end is not after the beginning.

    Attributes:
        days: on which that begins, 0 for Monday.
    """

    begin: time
    end: time
    days: frozenset[int]


def read_schedule(item: Mapping[str, Any]) -> Schedule:
    """The schedule of a card: `{from: "19:00", until: "07:00", days: [mon, tue]}`; without `days`, every day.

    Raises:
        ValueError: it is none.
    """
    if strange := sorted(set(map(str, item)) - {"from", "until", "days"}):
        raise ValueError(f"{', '.join(strange)} is not known")
    if missing := {"from", "until"} - set(item):
        raise ValueError(f"{' and '.join(sorted(missing))} is missing")
    days = [str(day).lower() for day in item.get("days", DAYS)]
    if not days or set(days) - set(DAYS):
        raise ValueError(f"days are of {', '.join(DAYS)}")
    return Schedule(_clock(item["from"]), _clock(item["until"]), frozenset(map(DAYS.index, days)))


def _clock(value: Any) -> time:
    """A time of day. YAML 1.1 reads 19:00 as a number to the base of 60 where it has no quotes."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value // 60}:{value % 60:02}"
    found = _CLOCK.fullmatch(str(value))
    if found is None:
        raise ValueError("a time of day is such as 19:00")
    return time(int(found[1]), int(found[2]))
