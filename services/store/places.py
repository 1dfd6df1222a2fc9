"""Where the instances of a series lie, and whether that still holds: what it costs to find a frame.

A viewer asks for each frame of a series by itself. The first one reads where all instances of the series lie; from then
on, one look at a row of `series` by its key says whether anything has changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.chassis.database import AWAY
from services.store.errors import IndexUnavailable

_COLUMNS = "i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, encode(i.digest, 'hex'), i.bytes, i.layout"

_LARGE_LAYOUT = 16 * 1024


@dataclass(frozen=True, slots=True)
class Version:
    """A series at a moment.

    Attributes:
        series: its key in the index, which is never given again.
        change: differs after everything that was stored into it, replaced or deleted.
        instances: how many it has.
    """

    series: int
    change: int
    instances: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance lies.

    Attributes:
        digest: sha256 of its object, hex.
        size: of it, in bytes.
        layout: for `services.dicom.layout.Layout.decode`.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    size: int
    layout: bytes


class Places:
    """The index, asked where instances lie. All raise `IndexUnavailable` when PostgreSQL does not answer."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """Read through `pool`, whose role may SELECT in the schema `index`."""
        self._pool = pool
        self._held: PoolConnectionProxy | None = None

    async def version(self, study_instance_uid: str, series_instance_uid: str) -> Version | None:
        """The series as it is now, or None."""
        rows = await self._fetch(
            "SELECT se.id, se.change, se.instance_count FROM index.series se JOIN index.study st ON st.id = se.study"
            " WHERE st.study_instance_uid = $1 AND se.series_instance_uid = $2",
            study_instance_uid,
            series_instance_uid,
        )
        return Version(*rows[0]) if rows else None

    async def versions(self, series: Sequence[int]) -> dict[int, Version]:
        """Those of the series that are still there, by their keys, as they are now.

        To be asked by one at a time: it keeps a connection for itself, because taking one costs more than the answer.
        """
        try:
            if self._held is None:
                self._held = await self._pool.acquire()
            rows = await self._held.fetch(
                "SELECT id, change, instance_count FROM index.series WHERE id = ANY($1::bigint[])", series
            )
        except AWAY as error:
            await self.close()
            raise IndexUnavailable(type(error).__name__) from error
        return {row[0]: Version(*row) for row in rows}

    async def close(self) -> None:
        """Give back what is kept; to be called before the pool closes."""
        held, self._held = self._held, None
        if held is not None:
            with suppress(*AWAY):
                await self._pool.release(held)

    async def of_series(self, series: int) -> list[Place]:
        """Where the instances of a series lie, but for those with a large layout, of many thousand frames."""
        rows = await self._fetch(
            f"SELECT {_COLUMNS} FROM index.instance i WHERE i.series = $1 AND octet_length(i.layout) <= $2",  # noqa: S608  # names of columns
            series,
            _LARGE_LAYOUT,
        )
        return [Place(*row) for row in rows]

    async def of_instance(self, series: int, sop_instance_uid: str) -> Place | None:
        """Where one of them lies, or None."""
        rows = await self._fetch(
            f"SELECT {_COLUMNS} FROM index.instance i WHERE i.series = $1 AND i.sop_instance_uid = $2",  # noqa: S608  # names of columns
            series,
            sop_instance_uid,
        )
        return Place(*rows[0]) if rows else None

    async def _fetch(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        try:
            rows: Sequence[asyncpg.Record] = await self._pool.fetch(statement, *arguments)
        except AWAY as error:
            raise IndexUnavailable(type(error).__name__) from error
        return rows
