"""Documents kept after the answer that needed them: they can all be made again, so nobody waits for a disk."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.archive.errors import DatabaseUnavailable
from services.archive.model import Document
from services.archive.ports import Documents


class BehindDocuments:
    """`Documents` that are written behind."""

    def __init__(self, kept: Documents) -> None:
        self._kept = kept
        self._writing: set[asyncio.Task[None]] = set()

    async def get(self, study_instance_uid: str, series_instance_uid: str, change: int) -> Document | None:
        """See `Documents.get`."""
        return await self._kept.get(study_instance_uid, series_instance_uid, change)

    async def put(self, study_instance_uid: str, series_instance_uid: str, document: Document) -> None:
        """See `Documents.put`; one that cannot be kept now is made again when it is needed."""
        writing = asyncio.create_task(self._put(study_instance_uid, series_instance_uid, document))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def forget(self, study_instance_uid: str, series_instance_uid: str) -> None:
        """See `Documents.forget`; what is being written is let go of as well."""
        await self.close()
        await self._kept.forget(study_instance_uid, series_instance_uid)

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._writing)

    async def _put(self, study_instance_uid: str, series_instance_uid: str, document: Document) -> None:
        with suppress(DatabaseUnavailable):
            await self._kept.put(study_instance_uid, series_instance_uid, document)
