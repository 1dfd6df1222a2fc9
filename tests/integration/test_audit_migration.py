"""The log of the first release, a chain of hashes, becomes a tree; one that was edited does not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import asyncpg
import pytest

from services.audit import merkle, model
from services.audit.adapters.folder import FolderTiles
from services.audit.adapters.postgres import PostgresLedger
from services.audit.handlers import erasing, publishing, recording, verifying
from services.audit.merkle import Frontier
from services.audit.model import LogQuery
from services.audit.notes import Kind, Signer
from services.chassis import database
from services.chassis.health import Health
from services.chassis.principal import Principal
from tests.unit.audit.memory import Archive, recorded


def of_old(number: int) -> bytes:
    """A record as it was written before records had a destination."""
    values = json.loads(model.canonical(recorded(number)))
    del values["destination"], values["destination_address"]
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


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
        record = of_old(number)
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
        await recording.record([recorded(300), recorded(301, destination="PACS")], ledger=ledger)
        assert [each.seq for each in await ledger.find(LogQuery(destination="PACS"))] == [301]
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


async def test_leaves_that_were_signed_before_there_were_destinations_stay_as_they_are(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    second = tmp_path / "second_audit" / "migrations"
    second.mkdir(parents=True)
    (second.parent / "__init__.py").touch()
    for name in ("0001_log.py", "0002_tree.py"):
        (second / name).write_text((Path(model.__file__).parent / "migrations" / name).read_text())
    await database.migrate(database_url, package="second_audit", schema="audit")
    signer = Signer("test/audit", Kind.LOG, bytes(32))
    before = model.entries(0, [of_old(number) for number in (1, 2, 3)])
    tree = Frontier().extend(merkle.leaf_hash(each.leaf) for each in before)
    old = await asyncpg.connect(database_url, server_settings={"search_path": "audit"})
    for each in before:
        kept = each.index
        await old.execute(
            "INSERT INTO records (seq, record, salt, leaf, record_id, at, action, caller, study_instance_uid,"
            " series_instance_uid, job_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            each.seq, each.record, each.salt, each.leaf, kept.record_id, kept.at, kept.action, kept.caller,
            kept.study_instance_uid, kept.series_instance_uid, kept.job_id,
        )  # fmt: skip
    await old.execute("UPDATE tree SET size = $1, frontier = $2", tree.size, tree.to_bytes())
    await old.close()
    async with database.connected(database_url, schema="audit", size=1, health=Health()) as pool:
        await publishing.publish(ledger=PostgresLedger(pool), folder=FolderTiles(tmp_path / "tree"), signer=signer)
    await database.migrate(database_url, package="services.audit", schema="audit")
    async with database.connected(database_url, schema="audit", size=2, health=Health()) as pool:
        ledger = PostgresLedger(pool)
        assert [each.leaf for each in await ledger.following(0, 10)] == [each.leaf for each in before]
        await recording.record([recorded(4, destination="PACS")], ledger=ledger)
        erased = LogQuery(destination="PACS")
        assert await erasing.erase(erased, principal=Principal("ann"), ledger=ledger, patients=Archive()) == 1
        verdict = await verifying.verify(
            principal=Principal("ann"), ledger=ledger, folder=FolderTiles(tmp_path / "tree"), signer=signer
        )
        assert (verdict.broken, verdict.guarded) == (None, True)
        assert not await ledger.find(erased)
