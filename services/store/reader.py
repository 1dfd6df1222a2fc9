"""Reading the index: searches for QIDO-RS, rows and metadata for retrieval. One statement a question.

Every table is named with its schema, so that the reader's own role may have another search path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import asyncpg

from services.chassis.database import AWAY
from services.store.comparing import Arguments
from services.store.errors import IndexUnavailable
from services.store.model import Found, InstanceRow, Level, Metadata, Query, SeriesRow, StudyRow
from services.store.search import where

_STUDY = (
    "st.study_instance_uid, st.modalities, st.sop_classes, st.series_count, st.instance_count,"
    " st.change AS study_change, st.attributes AS study_attributes"
)
_SERIES = (
    "st.study_instance_uid, se.series_instance_uid, se.modality, se.instance_count AS series_instance_count,"
    " se.change AS series_change, se.attributes AS series_attributes"
)
_INSTANCE = (
    "st.study_instance_uid, se.series_instance_uid, i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid,"
    " i.instance_number, i.rows, i.columns, i.bits_allocated, i.number_of_frames, encode(i.digest, 'hex') AS digest,"
    " i.bytes, i.stored_at"
)
_SERIES_JOINED = "index.study st JOIN index.series se ON se.study = st.id"
_INSTANCE_JOINED = f"{_SERIES_JOINED} JOIN index.instance i ON i.series = se.id"

_NEWEST_STUDY = "st.study_date DESC, st.study_time DESC, st.id DESC"
_BY_SERIES_NUMBER = "se.series_number, se.id"
_BY_INSTANCE_NUMBER = "i.instance_number, i.sop_instance_uid"


_PLANNED: Final = {
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
    "work_mem": "16MB",
}


def reading(url: str) -> str:
    """The address of the database for a pool that searches: each search is planned by its own values, and plainly.

    The one plan for all values that PostgreSQL would come to use is slow for a name that many have; to compile a plan
    or to start other processes takes longer than a search.
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(_PLANNED))))))


_TERMS_KNOWN_SECONDS: Final = 300.0


class IndexReader:
    """The reading side of the index."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """Read through `pool`, whose role may SELECT in the schema `index`."""
        self._pool = pool
        self._shares = _CommonTerms(pool)

    async def search(self, query: Query) -> list[Found]:
        """What answers the query, in an order that does not change between pages.

        Raises:
            IndexUnavailable: PostgreSQL does not answer.
        """
        arguments = Arguments()
        condition = where(query, arguments, await self._shares.known())
        with_study = query.above or not query.study_instance_uid or query.level is Level.STUDY
        with_series = query.level is not Level.STUDY and (
            query.above or not query.series_instance_uid or query.level is Level.SERIES
        )
        anywhere = not query.study_instance_uid
        limits = f"LIMIT {arguments.add(query.limit)} OFFSET {arguments.add(query.offset)}"
        match query.level:
            case Level.STUDY:
                # The page is found in the index alone, where the condition allows it, and then read.
                page = f"SELECT st.id FROM index.study st WHERE {condition} ORDER BY {_NEWEST_STUDY}"  # noqa: S608
                selected, order, condition = _STUDY, _NEWEST_STUDY, "TRUE"
                joined = f"({page} {limits}) AS page JOIN index.study st ON st.id = page.id"
                limits = ""
            case Level.SERIES:
                selected, joined = _SERIES, _SERIES_JOINED
                order = "se.id DESC" if anywhere else _BY_SERIES_NUMBER
            case Level.INSTANCE:
                selected, joined = _INSTANCE, _INSTANCE_JOINED
                order = "i.id DESC" if anywhere else f"{_BY_SERIES_NUMBER}, {_BY_INSTANCE_NUMBER}"
                selected += f", {_SERIES}" if with_series else ""
                selected += ", i.metadata" if query.metadata else ""
        if with_study and query.level is not Level.STUDY:
            selected += f", {_STUDY}"
        rows = await self._fetch(
            f"SELECT {selected} FROM {joined} WHERE {condition} ORDER BY {order} {limits}",  # noqa: S608  # fixed texts and $n
            *arguments.values,
        )
        return [
            Found(
                study=_study(row) if with_study else None,
                series=_series(row) if with_series else None,
                instance=_instance(row, metadata=row["metadata"] if query.metadata else b"")
                if query.level is Level.INSTANCE
                else None,
            )
            for row in rows
        ]

    async def series(self, study_instance_uid: str, series_instance_uid: str) -> SeriesRow | None:
        """One series, or None. Raises `IndexUnavailable`."""
        rows = await self._fetch(
            f"SELECT {_SERIES} FROM {_SERIES_JOINED}"  # noqa: S608  # fixed texts
            " WHERE st.study_instance_uid = $1 AND se.series_instance_uid = $2",
            study_instance_uid,
            series_instance_uid,
        )
        return _series(rows[0]) if rows else None

    async def study_series(self, study_instance_uid: str) -> list[SeriesRow]:
        """The series of a study by Series Number; empty when there is no such study. Raises `IndexUnavailable`."""
        rows = await self._fetch(
            f"SELECT {_SERIES} FROM {_SERIES_JOINED} WHERE st.study_instance_uid = $1 ORDER BY {_BY_SERIES_NUMBER}",  # noqa: S608  # fixed texts
            study_instance_uid,
        )
        return [_series(row) for row in rows]

    async def settled_revision(self, study_instance_uid: str, series_instance_uid: str, digest: str) -> int:
        """The revision that the series settled with, if it settled last with the instance set of `digest`; else 0.

        Raises:
            IndexUnavailable: PostgreSQL does not answer.
        """
        rows = await self._fetch(
            f"SELECT s.revision FROM {_SERIES_JOINED} JOIN index.settling s ON s.series = se.id"  # noqa: S608  # fixed
            " WHERE st.study_instance_uid = $1 AND se.series_instance_uid = $2 AND encode(s.digest, 'hex') = $3",
            study_instance_uid,
            series_instance_uid,
            digest,
        )
        return rows[0]["revision"] if rows else 0

    async def series_instances(self, study_instance_uid: str, series_instance_uid: str) -> list[InstanceRow]:
        """The instances of a series by Instance Number, without metadata and layout; empty: no such series.

        Raises:
            IndexUnavailable: PostgreSQL does not answer.
        """
        rows = await self._fetch(
            f"SELECT {_INSTANCE} FROM {_INSTANCE_JOINED} WHERE st.study_instance_uid = $1"  # noqa: S608  # fixed texts
            f" AND se.series_instance_uid = $2 ORDER BY {_BY_INSTANCE_NUMBER}",
            study_instance_uid,
            series_instance_uid,
        )
        return [_instance(row) for row in rows]

    async def series_metadata(self, study_instance_uid: str, series_instance_uid: str) -> Metadata | None:
        """The metadata of all instances of a series by Instance Number, or None. Raises `IndexUnavailable`."""
        rows = await self._fetch(
            f"SELECT se.change, i.metadata FROM {_INSTANCE_JOINED} WHERE st.study_instance_uid = $1"  # noqa: S608  # fixed texts
            f" AND se.series_instance_uid = $2 ORDER BY {_BY_INSTANCE_NUMBER}",
            study_instance_uid,
            series_instance_uid,
        )
        return Metadata(rows[0]["change"], tuple(row["metadata"] for row in rows)) if rows else None

    async def instance(
        self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str
    ) -> InstanceRow | None:
        """One instance with its metadata and layout, or None. Raises `IndexUnavailable`."""
        rows = await self._fetch(
            f"SELECT {_INSTANCE}, i.metadata, i.layout FROM {_INSTANCE_JOINED} WHERE st.study_instance_uid = $1"  # noqa: S608  # fixed texts
            " AND se.series_instance_uid = $2 AND i.sop_instance_uid = $3",
            study_instance_uid,
            series_instance_uid,
            sop_instance_uid,
        )
        return _instance(rows[0], metadata=rows[0]["metadata"], layout=rows[0]["layout"]) if rows else None

    async def _fetch(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        return await _fetched(self._pool, statement, *arguments)


async def _fetched(pool: asyncpg.Pool, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
    try:
        rows: Sequence[asyncpg.Record] = await pool.fetch(statement, *arguments)
    except AWAY as error:
        raise IndexUnavailable(type(error).__name__) from error
    return rows


class _CommonTerms:
    """Which terms are common, as PostgreSQL's statistics have it; looked up again from time to time."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: dict[Level, dict[int, float]] = {}
        self._until = 0.0

    async def known(self) -> Mapping[Level, Mapping[int, float]]:
        now = asyncio.get_running_loop().time()
        if now >= self._until:
            self._known = await self._look()
            self._until = now + _TERMS_KNOWN_SECONDS
        return self._known

    async def _look(self) -> dict[Level, dict[int, float]]:
        rows = await _fetched(
            self._pool,
            "SELECT tablename, most_common_elems::text::integer[], most_common_elem_freqs FROM pg_stats"
            " WHERE schemaname = 'index' AND attname = 'terms' AND most_common_elems IS NOT NULL",
        )
        # After the frequencies come the least and the greatest of them, and that of NULL.
        return {Level(row[0]): dict(zip(row[1], row[2], strict=False)) for row in rows}


def _study(row: asyncpg.Record) -> StudyRow:
    return StudyRow(
        study_instance_uid=row["study_instance_uid"],
        modalities=tuple(row["modalities"]),
        sop_classes=tuple(row["sop_classes"]),
        series=row["series_count"],
        instances=row["instance_count"],
        change=row["study_change"],
        attributes=row["study_attributes"],
    )


def _series(row: asyncpg.Record) -> SeriesRow:
    return SeriesRow(
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        modality=row["modality"],
        instances=row["series_instance_count"],
        change=row["series_change"],
        attributes=row["series_attributes"],
    )


def _instance(row: asyncpg.Record, *, metadata: bytes = b"", layout: bytes = b"") -> InstanceRow:
    return InstanceRow(
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        sop_class_uid=row["sop_class_uid"],
        transfer_syntax_uid=row["transfer_syntax_uid"],
        instance_number=row["instance_number"],
        rows=row["rows"],
        columns=row["columns"],
        bits_allocated=row["bits_allocated"],
        number_of_frames=row["number_of_frames"],
        digest=row["digest"],
        size=row["bytes"],
        stored_at=row["stored_at"],
        metadata=metadata,
        layout=layout,
    )
