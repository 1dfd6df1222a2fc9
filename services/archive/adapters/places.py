"""Where instances lie, remembered, and as new as the request that asks.

What may be stale: an instance can be deleted, or replaced where the policy says so; both change its series, and so do
new ones. Every answer here rests on a look at the series that began after the request came: so a frame is never served
that was gone before it was asked for, however many processes serve. Requests that come together share one look, which
is one row by its key.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from services.archive.model import Located, Resource
from services.dicom.layout import Layout
from services.store.places import Place, Version

_AT_ONCE: Final = 2000
"""A series of up to so many instances is read as a whole at the first one: a viewer will want the others."""

_ENTRY_BYTES: Final = 1000
"""About what a place takes in memory beside its layout."""


class Kept(Protocol):
    """The places as the index has them; `services.store.places.Places` is it. All raise `IndexUnavailable`."""

    async def version(self, study_instance_uid: str, series_instance_uid: str) -> Version | None:
        """A series as it is now."""

    async def versions(self, series: Sequence[int]) -> dict[int, Version]:
        """Some series as they are now, by their keys."""

    async def of_series(self, series: int) -> list[Place]:
        """Where the instances of a series lie, but for those with a large layout."""

    async def of_instance(self, series: int, sop_instance_uid: str) -> Place | None:
        """Where one of them lies."""


class RecentPlaces:
    """`Places` that remember up to `max_bytes` of what was asked for last."""

    def __init__(self, kept: Kept, *, max_bytes: int) -> None:
        self._kept = kept
        self._max_bytes = max_bytes
        self._bytes = 0
        self._recent: OrderedDict[tuple[str, str], _Series] = OrderedDict()
        self._looks = _Looks(kept)

    async def place(self, resource: Resource) -> Located | None:
        """See `Places.place`."""
        series = self._recent.get(resource.series)
        version = await self._looks.at(series.version.series) if series is not None else None
        if series is None or version is None or version != series.version:
            # The version is older than what is read from now on, never newer: at worst it is read once more.
            version = version or await self._kept.version(*resource.series)
            if version is None:
                self._forget(resource.series)
                return None
            series = await self._series(resource.series, version)
        elif resource.series in self._recent:
            self._recent.move_to_end(resource.series)
        found = series.located(resource)
        if found is None and not series.whole:
            place = await self._kept.of_instance(version.series, resource.sop_instance_uid)
            if place is not None:
                series.add(place)
                self._account(resource.series, series)
                found = series.located(resource)
        return found

    async def _series(self, key: tuple[str, str], version: Version) -> _Series:
        known = self._recent.get(key)
        if known is not None and known.version == version:  # another request has read it meanwhile
            return known
        series = _Series(version)
        if version.instances <= _AT_ONCE:
            for place in await self._kept.of_series(version.series):
                series.add(place)
            series.whole = len(series) == version.instances
        self._account(key, series)
        return series

    def _account(self, key: tuple[str, str], series: _Series) -> None:
        before = self._recent.get(key)
        if before is not None and before is not series:
            self._bytes -= before.counted
        self._recent[key] = series
        self._recent.move_to_end(key)
        self._bytes += series.bytes - (series.counted if before is series else 0)
        series.counted = series.bytes
        while self._bytes > self._max_bytes:
            _, forgotten = self._recent.popitem(last=False)
            self._bytes -= forgotten.counted

    def _forget(self, key: tuple[str, str]) -> None:
        forgotten = self._recent.pop(key, None)
        if forgotten is not None:
            self._bytes -= forgotten.counted


class _Series:
    """The places of a series at a version.

    Attributes:
        whole: all of its instances are here: what is not, does not exist.
        bytes: how much it takes.
        counted: how much of that has been counted.
    """

    def __init__(self, version: Version) -> None:
        self.version = version
        self.whole = False
        self.bytes = _ENTRY_BYTES
        self.counted = 0
        self._places: dict[str, Place | Located] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, place: Place) -> None:
        if place.sop_instance_uid not in self._places:
            self.bytes += len(place.layout) + _ENTRY_BYTES
            self._places[place.sop_instance_uid] = place

    def located(self, resource: Resource) -> Located | None:
        """The instance; its layout is decoded when it is first asked for."""
        found = self._places.get(resource.sop_instance_uid)
        if not isinstance(found, Place):
            return found
        located = Located(
            resource=resource,
            sop_class_uid=found.sop_class_uid,
            transfer_syntax_uid=found.transfer_syntax_uid,
            digest=found.digest,
            size=found.size,
            layout=Layout.decode(found.layout),
        )
        self._places[resource.sop_instance_uid] = located
        return located


class _Looks:
    """Looks at series, shared by those who wait at the same time."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._waiting: list[tuple[int, asyncio.Future[Version | None]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def at(self, series: int) -> Version | None:
        """The series as it is at a moment after this call."""
        answer: asyncio.Future[Version | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((series, answer))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await answer

    async def _look(self) -> None:
        while self._waiting:
            # Only those who are here before the look begins may have its answer.
            asked, self._waiting = self._waiting, []
            try:
                found = await self._kept.versions(list({series for series, _ in asked}))
            except Exception as error:  # noqa: BLE001  # whatever it is, those who wait have to hear of it
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for series, answer in asked:
                if not answer.done():
                    answer.set_result(found.get(series))
