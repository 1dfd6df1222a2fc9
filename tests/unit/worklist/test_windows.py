"""When what a rule brings may begin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.contracts.card import CardError, ModelCard, RulePriority
from services.contracts.schedule import read_schedule
from services.worklist.windows import opens
from tests.unit.worklist.samples import card

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = {"from": "19:00", "until": "07:00"}
WEEKEND = {"from": "08:00", "until": "08:00", "days": ["sat", "Sun"]}


@pytest.mark.parametrize(
    ("schedule", "at", "begins"),
    [
        (NIGHT, "2026-11-20 12:00", "2026-11-20 19:00"),
        (NIGHT, "2026-11-20 19:00", ""),
        (NIGHT, "2026-11-21 06:59", ""),
        (NIGHT, "2026-11-21 07:00", "2026-11-21 19:00"),
        (WEEKEND, "2026-11-20 12:00", "2026-11-21 08:00"),
        (WEEKEND, "2026-11-23 07:59", ""),  # of Sunday
        (WEEKEND, "2026-11-23 08:00", "2026-11-28 08:00"),
        ({"from": "01:00", "until": "02:00", "days": ["mon"]}, "2026-11-23 02:00", "2026-11-30 01:00"),
        (NIGHT, "2026-03-28 12:00", "2026-03-28 19:00"),
        ({"from": "02:30", "until": "03:30"}, "2026-03-29 12:00", "2026-03-30 02:30"),  # the clocks went forward
    ],
)
def test_a_window_opens_by_the_clock_of_the_site(schedule: dict[str, Any], at: str, begins: str) -> None:
    found = opens(read_schedule(schedule), datetime.fromisoformat(at).replace(tzinfo=BERLIN).astimezone(UTC), BERLIN)
    assert (found.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M") if found else "") == begins


def test_without_a_zone_the_clock_is_that_of_the_machine() -> None:
    noon = datetime(2026, 11, 20, 12).astimezone().astimezone(UTC)
    found = opens(read_schedule(NIGHT), noon, None)
    assert found is not None and (found.astimezone().hour, found.tzinfo) == (19, UTC)


@pytest.mark.parametrize(
    "schedule",
    [
        {"from": "25:00", "until": "1:00"},
        {"from": "1:00"},
        {**NIGHT, "days": []},
        {**NIGHT, "days": ["today"]},
        {**NIGHT, "to": 1},
        "x",
    ],
)
def test_a_schedule_that_is_none_is_refused_by_its_key(schedule: Any) -> None:
    with pytest.raises(CardError, match="'schedule'"):
        ModelCard.from_mapping({**card().source, "schedule": schedule})


def test_a_card_says_how_urgent_its_jobs_are_and_a_clock_without_quotes_is_read() -> None:
    read = ModelCard.from_mapping({**card().source, "priority": "stat", "schedule": {"from": 1140, "until": "07:00"}})
    assert (read.priority, read.schedule) == (RulePriority.STAT, read_schedule(NIGHT))
    assert ModelCard.from_mapping(card().source).schedule is None
    with pytest.raises(CardError, match="'priority'"):
        ModelCard.from_mapping({**card().source, "priority": "now"})
