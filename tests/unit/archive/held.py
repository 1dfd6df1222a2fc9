"""An archive's index, places and objects in memory, filled with files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.archive.model import Located, Resource
from services.contracts.events import AuditRecorded, Event
from services.dicom.dicom_json import text
from services.dicom.layout import Layout
from services.dicom.part10 import parse_instance
from services.store.memory import MemoryObjects
from services.store.model import Found, InstanceRow, Metadata, Query, SeriesRow


class Held:
    """`Index`, `Places` and `Events` at once.

    Attributes:
        objects: the files.
        said: the audit records.
        files: the file that all objects are said to be, if they are.
        reads: (offset, length) of each range of an object that was read.
    """

    def __init__(self) -> None:
        self.objects = _Watched()
        self.said: list[AuditRecorded] = []
        self.files: Path | None = None
        self._rows: list[tuple[str, InstanceRow]] = []

    def store(self, data: bytes) -> Resource:
        """Put a file where ingest would have put it."""
        parsed = parse_instance(data)
        digest = sha256(data).hexdigest()
        self.objects.objects[digest] = data
        row = InstanceRow(
            study_instance_uid=parsed.study_instance_uid,
            series_instance_uid=parsed.series_instance_uid,
            sop_instance_uid=parsed.sop_instance_uid,
            sop_class_uid=parsed.sop_class_uid,
            transfer_syntax_uid=parsed.transfer_syntax_uid,
            instance_number=_number(parsed.attributes, "InstanceNumber"),
            rows=_number(parsed.attributes, "Rows"),
            columns=_number(parsed.attributes, "Columns"),
            bits_allocated=_number(parsed.attributes, "BitsAllocated"),
            number_of_frames=_number(parsed.attributes, "NumberOfFrames"),
            digest=digest,
            size=len(data),
            stored_at=datetime.now(UTC),
            metadata=parsed.metadata,
            layout=parsed.layout.encode(),
        )
        self._rows.append((text(parsed.attributes, "Modality"), row))
        return Resource(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)

    def path(self, digest: str) -> Path | None:
        """Where an object is a local file."""
        return self.files

    async def place(self, resource: Resource) -> Located | None:
        """See `Places`."""
        row = await self.instance(*resource.series, resource.sop_instance_uid)
        if row is None:
            return None
        layout = Layout.decode(row.layout)
        return Located(resource, row.sop_class_uid, row.transfer_syntax_uid, row.digest, row.size, layout)

    async def instance(self, study: str, series: str, instance: str) -> InstanceRow | None:
        """See `Index`."""
        wanted = (study, series, instance)
        return next((row for _, row in self._rows if _uids(row) == wanted), None)

    async def series_instances(self, study: str, series: str) -> list[InstanceRow]:
        """See `Index`."""
        return [replace(row, metadata=b"", layout=b"") for _, row in self._rows if _uids(row)[:2] == (study, series)]

    async def study_series(self, study: str) -> list[SeriesRow]:
        """See `Index`."""
        found: dict[str, SeriesRow] = {}
        for modality, row in self._rows:
            if row.study_instance_uid == study:
                uid = row.series_instance_uid
                before = found.get(uid, SeriesRow(study, uid, modality, 0, 1, b"{}"))
                found[uid] = replace(before, instances=before.instances + 1)
        return list(found.values())

    async def series(self, study: str, series: str) -> SeriesRow | None:
        """See `Index`."""
        return next((row for row in await self.study_series(study) if row.series_instance_uid == series), None)

    async def search(self, query: Query) -> list[Found]:
        """Nobody searches here."""
        raise NotImplementedError

    async def series_metadata(self, study: str, series: str) -> Metadata | None:
        """Nobody asks for it here."""
        raise NotImplementedError

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        """See `Events`."""
        assert isinstance(event, AuditRecorded)
        self.said.append(event)


class _Watched(MemoryObjects):
    """Objects that remember what was read of them."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int | None]] = []

    async def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `ObjectStore.read`."""
        self.reads.append((offset, length))
        return await super().read(digest, offset, length)


def _uids(row: InstanceRow) -> tuple[str, str, str]:
    return row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid


def _number(attributes: Mapping[str, Any], keyword: str) -> int | None:
    found = text(attributes, keyword)
    return int(found) if found.isdigit() else None
