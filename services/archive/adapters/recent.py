"""The documents asked for last, in memory, before those of the database."""

from __future__ import annotations

from collections import OrderedDict

from services.archive.model import Document
from services.archive.ports import Documents


class RecentDocuments:
    """`Documents` that remember up to `max_bytes` of what passed through."""

    def __init__(self, kept: Documents, *, max_bytes: int) -> None:
        self._kept = kept
        self._max_bytes = max_bytes
        self._bytes = 0
        self._recent: OrderedDict[tuple[str, str], Document] = OrderedDict()

    async def get(self, study_instance_uid: str, series_instance_uid: str, change: int) -> Document | None:
        """See `Documents.get`."""
        key = (study_instance_uid, series_instance_uid)
        document = self._recent.get(key)
        if document is not None and document.change == change:
            self._recent.move_to_end(key)
            return document
        document = await self._kept.get(study_instance_uid, series_instance_uid, change)
        if document is not None:
            self._remember(key, document)
        return document

    async def put(self, study_instance_uid: str, series_instance_uid: str, document: Document) -> None:
        """See `Documents.put`."""
        await self._kept.put(study_instance_uid, series_instance_uid, document)
        self._remember((study_instance_uid, series_instance_uid), document)

    def _remember(self, key: tuple[str, str], document: Document) -> None:
        before = self._recent.get(key)
        self._bytes += len(document.body) - (len(before.body) if before else 0)
        self._recent[key] = document
        self._recent.move_to_end(key)
        while self._bytes > self._max_bytes:
            _, forgotten = self._recent.popitem(last=False)
            self._bytes -= len(forgotten.body)
