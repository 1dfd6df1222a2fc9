"""A log in memory, and an archive that knows some patients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.audit import merkle, model
from services.audit.adapters.folder import FolderTiles
from services.audit.errors import LogUnavailableError
from services.audit.log import AuditLog
from services.audit.merkle import Frontier
from services.audit.model import Entry, Index, LogQuery
from services.audit.notes import Kind, Signer
from services.chassis.principal import Principal
from services.contracts.events import AuditRecorded

PATIENTS = {"1.2.3": "P1", "1.2.4": "P1", "1.2.5": "P2"}


def recorded(number: int, **fields: Any) -> AuditRecorded:
    values: dict[str, Any] = {"study_instance_uid": "1.2.3", "caller": "local", **fields}
    record = AuditRecorded(f"{number:032x}", "2026-11-21T12:00:00Z", "archive", "retrieve", "success")
    return replace(record, **values)


class MemoryLedger:
    """`Ledger` and `Cursors`."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.frontier = Frontier()
        self.note = ""
        self.available = True
        self.cursors: dict[str, int] = {}
        self.kept: dict[str, Mapping[str, str]] = {}

    async def settings(self, service: str) -> Mapping[str, str] | None:
        return self.kept.get(service)

    async def keep_settings(self, service: str, settings: Mapping[str, str]) -> None:
        self.kept[service] = settings

    async def append(self, records: Mapping[str, bytes]) -> None:
        if not self.available:
            raise LogUnavailableError
        present = {entry.index.record_id for entry in self.entries}
        more = model.entries(len(self.entries), [data for key, data in records.items() if key not in present])
        self.entries += more
        self.frontier = self.frontier.extend(merkle.leaf_hash(entry.leaf) for entry in more)

    async def find(self, query: LogQuery) -> Sequence[Entry]:
        def wanted(entry: Entry) -> bool:
            index = entry.index
            return (
                entry.seq < (query.after or 2**63)
                and query.record_id in ("", index.record_id)
                and query.study_instance_uid in ("", index.study_instance_uid)
                and query.action in ("", index.action)
                and query.destination in ("", index.destination)
                and (not query.studies or index.study_instance_uid in query.studies)
            )

        return [entry for entry in reversed(self.entries) if wanted(entry)][: query.limit]

    async def following(self, seq: int, limit: int) -> Sequence[Entry]:
        return self.entries[seq : seq + limit]

    async def erase(self, told: Mapping[str, bytes]) -> int:
        for place, entry in enumerate(self.entries):
            if entry.index.record_id in told:
                self.entries[place] = replace(entry, record=None, salt=None, index=Index(entry.index.record_id))
        await self.append({model.index_of(data).record_id: data for data in told.values()})
        return len(told)

    @asynccontextmanager
    async def walk(self, after: int = 0) -> AsyncIterator[Any]:
        yield _Walk(self, after)

    @asynccontextmanager
    async def publication(self) -> AsyncIterator[Any]:
        if not self.available:
            raise LogUnavailableError
        yield _Publication(self)

    async def cosigned(self) -> Sequence[str]:
        return []

    async def keep_cosigned(self, witness: str, size: int, checkpoint: str) -> None:
        raise NotImplementedError

    async def cursor(self, target: str) -> int:
        return self.cursors.get(target, 0)

    async def advance(self, target: str, seq: int) -> None:
        self.cursors[target] = seq

    @asynccontextmanager
    async def turn(self, target: str) -> AsyncIterator[bool]:
        yield True


class _Walk:
    guarded = True
    cosigned: Sequence[str] = ()

    def __init__(self, ledger: MemoryLedger, after: int) -> None:
        self._entries = ledger.entries[after:]
        self.head = (ledger.frontier.size, ledger.frontier.to_bytes())
        self.checkpoint = ledger.note

    async def batches(self) -> AsyncIterator[Sequence[Entry]]:
        for start in range(0, len(self._entries), 2):
            yield self._entries[start : start + 2]


class _Publication:
    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.head = ledger.frontier
        self.checkpoint = ledger.note

    async def leaves(self, start: int, end: int) -> list[bytes]:
        return [entry.leaf for entry in self._ledger.entries[start:end]]

    async def keep(self, checkpoint: str) -> None:
        self._ledger.note = checkpoint


class Archive:
    """`Patients`."""

    async def studies_of(self, patient_id: str, principal: Principal) -> Sequence[str]:
        return [study for study, patient in PATIENTS.items() if patient == patient_id]

    async def patients_of(self, studies: Sequence[str], principal: Principal) -> Mapping[str, str]:
        return {study: PATIENTS[study] for study in studies if study in PATIENTS}


def log_in(folder: Path, ledger: MemoryLedger) -> AuditLog:
    """A log whose tiles lie in a folder."""
    return AuditLog(ledger, FolderTiles(folder), Signer("test/audit", Kind.LOG, bytes(range(32))), Archive())
