"""Prepared metadata in PostgreSQL (schema `archive`). All of it can be made again from the index."""

from __future__ import annotations

import asyncio

import asyncpg
import zstandard

from services.archive.errors import DatabaseUnavailable
from services.archive.model import Document
from services.chassis.database import AWAY

_LEVEL = 3
"""Metadata of a series repeats itself: a hundredth of its size is left, and less time is spent than on the rest."""


class PostgresDocuments:
    """`Documents` that survive a restart, and that every process of the archive shares; kept packed (Zstandard)."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """Keep documents through `pool`, whose search_path begins with the archive's schema."""
        self._pool = pool

    async def get(self, study_instance_uid: str, series_instance_uid: str, change: int) -> Document | None:
        """See `Documents.get`: one indexed read."""
        try:
            row = await self._pool.fetchrow(
                "SELECT change, body FROM series_document"
                " WHERE study_instance_uid = $1 AND series_instance_uid = $2 AND change = $3",
                study_instance_uid,
                series_instance_uid,
                change,
            )
        except AWAY:
            raise DatabaseUnavailable from None
        return Document(row["change"], await asyncio.to_thread(_unpacked, row["body"])) if row else None

    async def put(self, study_instance_uid: str, series_instance_uid: str, document: Document) -> None:
        """See `Documents.put`."""
        body = await asyncio.to_thread(_packed, document.body)
        try:
            await self._pool.execute(
                "INSERT INTO series_document (study_instance_uid, series_instance_uid, change, body)"
                " VALUES ($1, $2, $3, $4) ON CONFLICT (study_instance_uid, series_instance_uid) DO UPDATE"
                " SET change = excluded.change, body = excluded.body, prepared_at = now()"
                " WHERE series_document.change <> excluded.change",
                study_instance_uid,
                series_instance_uid,
                document.change,
                body,
            )
        except AWAY:
            raise DatabaseUnavailable from None

    async def forget(self, study_instance_uid: str, series_instance_uid: str) -> None:
        """See `Documents.forget`."""
        try:
            await self._pool.execute(
                "DELETE FROM series_document WHERE study_instance_uid = $1 AND series_instance_uid = $2",
                study_instance_uid,
                series_instance_uid,
            )
        except AWAY:
            raise DatabaseUnavailable from None


def _packed(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(_LEVEL).compress(body)


def _unpacked(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(body)
