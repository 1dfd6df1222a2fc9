"""The log of the first release, a chain of hashes, becomes a tree; one that was edited does not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import asyncpg
import pytest

from services.audit import model
from services.audit.adapters.folder import FolderTiles
from services.audit.adapters.postgres import PostgresLedger
from services.audit.handlers import recording, verifying
from services.audit.notes import Kind, Signer
from services.chassis import database
from services.chassis.health import Health
from services.chassis.principal import Principal
from tests.unit.audit.memory import recorded


async def first_release(url: str, folder: Path, records: int) -> asyncpg.Connection:
    """A log as the first release left it: its own migration alone, and records in its chain."""
    (folder / "migrations").mkdir(parents=True)
    source = Path(model.__file__).parent / "migrations" / "0001_log.py"
    (folder / "migrations" / "0001_log.py").write_text(source.read_text())
    (folder / "__init__.py").touch()
    await database.migrate(url, package=folder.name, schema="audit")
    connection = await asyncpg.connect(url, server_settings={"search_path": "audit"})
    before = bytes(32)
    for number in range(1, records + 1):
        record = model.canonical(recorded(number))
        after = hashlib.sha256(before + record).digest()
        await connection.execute(
            "INSERT INTO records VALUES ($1, $2, $3, $4, $5, now(), 'retrieve', 'local', '1.2.3', '', '')",
            number, record, before, after, f"{number:032x}",
        )  # fmt: skip
        before = after
    await connection.execute("UPDATE head SET seq = $1, hash = $2", records, before)
    return connection


async def test_a_chain_that_holds_becomes_a_tree_that_holds_and_goes_on(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    old = await first_release(database_url, tmp_path / "first_audit", 300)
    await old.execute("ALTER TABLE records DISABLE TRIGGER append_only")
    await old.execute("UPDATE records SET at = '2026-11-21T12:00:00Z'")
    await old.execute("ALTER TABLE records ENABLE ALWAYS TRIGGER append_only")
    await old.close()
    await database.migrate(database_url, package="services.audit", schema="audit")
    async with database.connected(database_url, schema="audit", size=2, health=Health()) as pool:
        ledger = PostgresLedger(pool)
        await recording.record([recorded(300), recorded(301)], ledger=ledger)
        verdict = await verifying.verify(
            principal=Principal("ann"),
            ledger=ledger,
            folder=FolderTiles(tmp_path / "tree"),
            signer=Signer("test/audit", Kind.LOG, bytes(32)),
        )
    assert (verdict.records, verdict.broken, verdict.guarded) == (301, None, True)


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        ("UPDATE records SET record = set_byte(record, 5, 65) WHERE seq = 3", "breaks at record 3"),
        ("DELETE FROM records WHERE seq = 3", "breaks at record 4"),
        ("DELETE FROM records WHERE seq = 5", "does not end where its head says"),
    ],
)
async def test_a_chain_that_was_edited_is_not_carried_over_and_nothing_is_changed(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: str, place: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    old = await first_release(database_url, tmp_path / "first_audit", 5)
    await old.execute("ALTER TABLE records DISABLE TRIGGER append_only")
    await old.execute(edit)
    with pytest.raises(RuntimeError, match=place):
        await database.migrate(database_url, package="services.audit", schema="audit")
    assert await old.fetchval("SELECT octet_length(hash) FROM head") == 32
    await old.close()
