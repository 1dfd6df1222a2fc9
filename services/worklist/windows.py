"""When a job that a rule brings may begin, by the schedule of the card and the clock of the site."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from services.contracts.schedule import Schedule

_DAY = timedelta(days=1)


def opens(schedule: Schedule, at: datetime, zone: tzinfo | None) -> datetime | None:
    """When it may begin; None for at once.

    Args:
        zone: of the site's clock; None for that of the machine.
    """
    # A window that opened yesterday may still be open. The clock of the wall counts, also where it jumps.
    there = at.astimezone(zone)
    clock = there.replace(tzinfo=None)
    for days in range(-1, 8):
        day = clock.date() + days * _DAY
        begin, end = datetime.combine(day, schedule.begin), datetime.combine(day, schedule.end)
        end += _DAY if end <= begin else timedelta()
        if day.weekday() in schedule.days and clock < end:
            return None if begin <= clock else begin.replace(tzinfo=zone).astimezone(at.tzinfo)
    raise AssertionError("a schedule has a day of the week")
