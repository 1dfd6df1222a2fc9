"""Places that are remembered, and never older than the request that asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from services.archive.adapters.places import RecentPlaces
from services.archive.model import Located, Resource
from services.dicom.frames import NativeFrames
from services.dicom.layout import Layout
from services.store.errors import IndexUnavailable
from services.store.places import Place, Version

LAYOUT = Layout(100, frames=NativeFrames(100, 8 * 64, 1, 2)).encode()
SERIES = ("1.2", "1.2.3")


def place(number: int, digest: str = "d") -> Place:
    return Place(f"1.2.3.{number}", "1.9", "1.2.840.10008.1.2.1", digest, 164, LAYOUT)


def instance(number: int) -> Resource:
    return Resource(*SERIES, f"1.2.3.{number}")


@dataclass
class Index:
    """The index of one series, which counts what it is asked."""

    version_now: Version | None = field(default_factory=lambda: Version(7, 3, 3))
    places: dict[str, Place] = field(default_factory=lambda: {f"1.2.3.{n}": place(n) for n in (1, 2, 3)})
    asked: list[str] = field(default_factory=list)
    looking: asyncio.Event = field(default_factory=asyncio.Event)
    away: bool = False

    def __post_init__(self) -> None:
        self.looking.set()

    def change(self, *places: Place) -> None:
        """Other instances are in the series now."""
        self.places = {each.sop_instance_uid: each for each in places}
        assert self.version_now is not None
        self.version_now = replace(self.version_now, change=self.version_now.change + 1, instances=len(places))

    async def version(self, study_instance_uid: str, series_instance_uid: str) -> Version | None:
        self.asked.append("version")
        return self.version_now if (study_instance_uid, series_instance_uid) == SERIES else None

    async def versions(self, series: Sequence[int]) -> dict[int, Version]:
        self.asked.append("versions")
        await self.looking.wait()
        if self.away:
            raise IndexUnavailable("away")
        now = self.version_now
        return {now.series: now} if now is not None and now.series in series else {}

    async def of_series(self, series: int) -> list[Place]:
        self.asked.append("of_series")
        return [each for each in self.places.values() if len(each.layout) < 1000]

    async def of_instance(self, series: int, sop_instance_uid: str) -> Place | None:
        self.asked.append("of_instance")
        return self.places.get(sop_instance_uid)


async def test_a_series_is_read_once_and_looked_at_each_time() -> None:
    index = Index()
    places = RecentPlaces(index, max_bytes=10**6)
    for number in (1, 2, 3, 1):
        found = await places.place(instance(number))
        assert isinstance(found, Located)
        assert (found.resource, found.digest) == (instance(number), "d")
        assert found.layout.frames == NativeFrames(100, 8 * 64, 1, 2)
    assert index.asked == ["version", "of_series", "versions", "versions", "versions"]


async def test_what_is_not_in_a_series_that_was_read_whole_needs_no_further_question() -> None:
    index = Index()
    places = RecentPlaces(index, max_bytes=10**6)
    assert await places.place(instance(9)) is None
    assert await places.place(Resource("1.2", "1.2.9", "1.2.9.1")) is None
    assert index.asked == ["version", "of_series", "version"]


async def test_a_replaced_instance_is_found_at_its_new_place_at_once() -> None:
    index = Index()
    places = RecentPlaces(index, max_bytes=10**6)
    await places.place(instance(1))
    index.change(place(1, "new"), place(2))
    found = await places.place(instance(1))
    assert found is not None
    assert found.digest == "new"


async def test_a_deleted_instance_is_gone_at_once_and_so_is_a_deleted_series() -> None:
    index = Index()
    places = RecentPlaces(index, max_bytes=10**6)
    await places.place(instance(1))
    index.change(place(2))
    assert await places.place(instance(1)) is None
    assert await places.place(instance(2)) is not None
    index.version_now = None
    assert await places.place(instance(2)) is None
    index.version_now = Version(8, 0, 1)  # stored anew, under another key
    assert await places.place(instance(2)) is not None


async def test_those_who_wait_together_share_a_look_that_began_after_they_came() -> None:
    index = Index()
    places = RecentPlaces(index, max_bytes=10**6)
    await places.place(instance(1))
    index.looking.clear()
    first = asyncio.create_task(places.place(instance(1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(places.place(instance(1))) for _ in range(5)]
    await asyncio.sleep(0)
    others[0].cancel()
    index.looking.set()
    assert await first is not None
    results = await asyncio.gather(*others, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(each, Located) for each in results[1:])
    assert index.asked.count("versions") == 2


async def test_nothing_is_given_while_the_index_is_away() -> None:
    index = Index()
    places = RecentPlaces(index, max_bytes=10**6)
    await places.place(instance(1))
    index.away = True
    with pytest.raises(IndexUnavailable):
        await places.place(instance(1))
    index.away = False
    assert await places.place(instance(1)) is not None


async def test_a_large_layout_is_read_by_itself() -> None:
    index = Index()
    large = replace(place(1), layout=LAYOUT.ljust(2000))
    index.change(large, place(2))
    places = RecentPlaces(index, max_bytes=10**6)
    assert await places.place(instance(2)) is not None
    with pytest.raises(ValueError, match="layout"):  # this one is not a real one
        await places.place(instance(1))
    assert index.asked[-1] == "of_instance"


async def test_a_series_of_very_many_instances_is_read_one_by_one() -> None:
    index = Index(version_now=Version(7, 3, 5000))
    places = RecentPlaces(index, max_bytes=10**6)
    assert await places.place(instance(1)) is not None
    assert await places.place(instance(1)) is not None
    assert index.asked == ["version", "of_instance", "versions"]


async def test_memory_is_bounded() -> None:
    index = Index()
    places = RecentPlaces(index, max_bytes=0)
    for _ in range(2):
        assert await places.place(instance(1)) is not None
    assert index.asked == ["version", "of_series"] * 2
