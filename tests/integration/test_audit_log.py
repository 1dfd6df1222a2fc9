"""The log in a real PostgreSQL and on a real disk: append-only, one writer at a time, and every edit is found."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from services.audit import notes, proofs
from services.audit.adapters.folder import FolderTiles
from services.audit.adapters.postgres import SESSION, PostgresLedger
from services.audit.errors import (
    FolderUnavailableError,
    InvalidCheckpointError,
    LogBrokenError,
    LogUnavailableError,
    UnknownRecordError,
)
from services.audit.handlers import asking, erasing, proving, publishing, recording, verifying, witnessing
from services.audit.handlers.verifying import Verdict
from services.audit.merkle import ProofError
from services.audit.model import Break, Flaw, LogQuery
from services.audit.notes import Kind, Note, Signer
from services.chassis import database
from services.chassis.health import Health
from services.chassis.principal import Principal
from services.contracts import records
from services.contracts.events import AuditRecorded

ANN = Principal("ann")
_TABLES = ("records", "tree", "checkpoint")


def recorded(number: int, **fields: Any) -> AuditRecorded:
    record = AuditRecorded(
        f"{number:032x}", f"2026-11-21T12:00:{number % 60:02}Z", "archive", "retrieve", "success", caller="ann"
    )
    return replace(record, **fields)


class Archive:
    """Whose studies are."""

    patients: Mapping[str, str] = {"1.2": "P1", "1.3": "P1", "1.4": "P2"}

    async def studies_of(self, patient_id: str, principal: Principal) -> Sequence[str]:
        return [study for study, patient in self.patients.items() if patient == patient_id]

    async def patients_of(self, studies: Sequence[str], principal: Principal) -> Mapping[str, str]:
        return {study: self.patients[study] for study in studies if study in self.patients}


@dataclass
class Log:
    """The log, and the database and the folder behind it as their owner sees them."""

    ledger: PostgresLedger
    pool: asyncpg.Pool
    folder: Path
    signer: Signer = field(default_factory=lambda: Signer("test/audit", Kind.LOG, bytes(range(32))))

    @property
    def tiles(self) -> FolderTiles:
        return FolderTiles(self.folder)

    async def fill(self, records: int, start: int = 0) -> None:
        await recording.record([recorded(number) for number in range(start, start + records)], ledger=self.ledger)

    async def publish(self) -> str:
        return await publishing.publish(ledger=self.ledger, folder=self.tiles, signer=self.signer)

    async def verify(self, since: str = "") -> Verdict:
        return await verifying.verify(
            principal=ANN, ledger=self.ledger, folder=self.tiles, signer=self.signer, since=since
        )

    async def prove(self, record_id: str) -> str:
        return await proving.prove(record_id, principal=ANN, ledger=self.ledger, folder=self.tiles, signer=self.signer)

    async def tamper(self, *statements: str) -> None:
        """As one who owns the tables, and switches their guards off for it."""
        guards = ("append_only ON records", "erase_only ON records", "one_tree ON tree")
        async with self.pool.acquire() as connection:
            for guard in guards:
                name, _, table = guard.split()
                await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
            for statement in statements:
                await connection.execute(statement)
            for guard in guards:
                name, _, table = guard.split()
                await connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")

    async def back_up(self) -> None:
        for table in _TABLES:
            await self.pool.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")
        shutil.copytree(self.folder, self.folder.with_name("kept"))

    async def restore(self) -> None:
        await self.tamper(
            *(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}" for table in _TABLES)
        )
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.with_name("kept"), self.folder)

    def flip(self, path: str, at: int) -> None:
        """One bit of one byte of a file."""
        data = bytearray((self.folder / path).read_bytes())
        data[at] ^= 1
        (self.folder / path).write_bytes(data)


@pytest_asyncio.fixture
async def log(database_url: str, tmp_path: Path) -> AsyncIterator[Log]:
    await database.migrate(database_url, package="services.audit", schema="audit")
    async with database.connected(database_url, schema="audit", size=4, health=Health(), session=SESSION) as pool:
        yield Log(PostgresLedger(pool), pool, tmp_path / "audit")


async def test_a_start_with_other_settings_is_a_change_and_its_digests_are_not_in_the_log(log: Log) -> None:
    for digest in ("11", "11", "22"):
        start = records.life("archive", started=True, settings=["PLEXUS_ARCHIVE_MAX_RESULTS=" + digest])
        await recording.record([start], ledger=log.ledger)
    changed, *_ = await log.ledger.find(LogQuery(caller="service:archive", limit=10))
    assert (changed.index.action, changed.seq) == ("configure", 4)
    assert b'"detail":"PLEXUS_ARCHIVE_MAX_RESULTS"' in (changed.record or b"")
    assert not [each for each in await log.ledger.following(0, 10) if b'"settings"' in (each.record or b"")]


async def test_records_are_numbered_without_a_gap_and_hold(log: Log) -> None:
    await log.fill(1200)
    entries = list(reversed(await log.ledger.find(LogQuery(limit=2000))))
    assert [entry.seq for entry in entries] == list(range(1, 1201))
    verdict = await log.verify()
    assert (verdict.records, verdict.broken, verdict.guarded) == (1200, None, True)
    assert notes.opened(verdict.checkpoint, log.signer.key)[1].root == verdict.root


async def test_no_plan_is_kept_from_when_the_log_was_empty(log: Log) -> None:
    async with log.pool.acquire() as connection:
        statement = "SELECT record_id FROM records WHERE record_id = ANY($1::text[])"
        prepared = await connection.prepare(statement)
        for _ in range(10):  # after five, PostgreSQL would take one plan for all that come
            await prepared.fetch(["none"])
        plans = await connection.fetch(
            "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE statement = $1", statement
        )
    assert [tuple(each) for each in plans] == [(10, 0)]


async def test_a_record_that_comes_twice_is_kept_once(log: Log) -> None:
    await log.fill(5)
    await log.fill(7)
    await asyncio.gather(*(recording.record([recorded(9)], ledger=log.ledger) for _ in range(5)))
    assert len(await log.ledger.find(LogQuery())) == 8


async def test_several_processes_write_and_sign_one_log(log: Log) -> None:
    others = [log, *(Log(PostgresLedger(log.pool), log.pool, log.folder) for _ in range(2))]
    for start in range(0, 300, 100):
        await asyncio.gather(*(other.fill(100, start) for other in others))
        assert len(set(await asyncio.gather(*(other.publish() for other in others)))) == 1
    verdict = await log.verify()
    assert (verdict.records, verdict.broken) == (300, None)


async def test_the_database_refuses_to_change_what_is_written(log: Log) -> None:
    await log.fill(3)
    for statement in (
        "UPDATE records SET caller = 'eve'",
        "UPDATE records SET record = NULL, salt = NULL",
        "UPDATE records SET leaf = sha256('')",
        "DELETE FROM records WHERE seq = 2",
        "TRUNCATE records",
        "DELETE FROM tree",
        "INSERT INTO tree (single, size, frontier) VALUES (false, 0, '')",
        "TRUNCATE tree",
        "SET session_replication_role = replica; DELETE FROM records",
    ):
        async with log.pool.acquire() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await connection.execute(statement)
            await connection.execute("RESET session_replication_role")
    verdict = await log.verify()
    assert (verdict.records, verdict.broken) == (3, None)


async def test_a_guard_that_is_off_is_told_of(log: Log) -> None:
    await log.pool.execute("ALTER TABLE records DISABLE TRIGGER append_only")
    assert not (await log.verify()).guarded
    await log.pool.execute("ALTER TABLE records ENABLE TRIGGER append_only")
    assert not (await log.verify()).guarded  # a session that plays a replica would pass
    await log.pool.execute("ALTER TABLE records ENABLE ALWAYS TRIGGER append_only")
    assert (await log.verify()).guarded
    await log.pool.execute("DROP TRIGGER one_tree ON tree")
    assert not (await log.verify()).guarded


def _flipped(column: str, seq: int, at: str = "0") -> str:
    return f"UPDATE records SET {column} = set_byte({column}, {at}, get_byte({column}, {at}) # 1) WHERE seq = {seq}"


_CUT = (
    "UPDATE tree SET size = 9, frontier = substr(frontier, 1, 32) || sha256('\\x00' || leaf) FROM records WHERE seq = 9"
)


EDITS: list[tuple[list[str], tuple[int, Flaw, int]]] = [
        ([_flipped("record", 4, "20")], (4, Flaw.CONTENT, 0)),
        ([_flipped("record", 4, "length(record) - 1")], (4, Flaw.CONTENT, 0)),
        ([_flipped("salt", 4, "31")], (4, Flaw.CONTENT, 0)),
        ([_flipped("leaf", 4, "9")], (4, Flaw.CONTENT, 0)),
        (["UPDATE records SET seq = seq + 100 WHERE seq = 4"], (4, Flaw.GAP, 4)),
        (["UPDATE records SET record_id = 'x' WHERE seq = 4"], (4, Flaw.INDEX, 0)),
        (["UPDATE records SET action = 'query' WHERE seq = 4"], (4, Flaw.INDEX, 0)),
        (["UPDATE records SET caller = 'eve' WHERE seq = 4"], (4, Flaw.INDEX, 0)),
        (["UPDATE records SET study_instance_uid = '1' WHERE seq = 4"], (4, Flaw.INDEX, 0)),
        (["UPDATE records SET at = at + interval '1 day' WHERE seq = 4"], (4, Flaw.INDEX, 0)),
        (["UPDATE records SET record = NULL, salt = NULL, at = NULL, action = '', caller = '' WHERE seq = 4"],
         (4, Flaw.ERASED, 0)),
        # a forged content with a commitment that is right: the tile knows better
        (["UPDATE records SET record = convert_to(replace(convert_from(record, 'utf8'), '\"ann\"', '\"eve\"'), 'utf8'),"
          " caller = 'eve' WHERE seq = 4", "UPDATE records SET leaf = sha256(salt || record) WHERE seq = 4"],
         (4, Flaw.TILE, 4)),
        (["DELETE FROM records WHERE seq = 4"], (4, Flaw.GAP, 4)),
        (["DELETE FROM records WHERE seq = 4", "UPDATE records SET seq = seq - 1 WHERE seq > 4"], (4, Flaw.TILE, 4)),
        (["DELETE FROM records WHERE seq = 1"], (1, Flaw.GAP, 1)),
        (["DELETE FROM records WHERE seq > 7"], (8, Flaw.CUT, 10)),
        (["DELETE FROM records WHERE seq = 10"], (10, Flaw.CUT, 10)),
        (["DELETE FROM records WHERE seq = 10", _CUT], (10, Flaw.CUT, 10)),
        (["UPDATE records SET seq = 100 WHERE seq = 3", "UPDATE records SET seq = 3 WHERE seq = 6",
          "UPDATE records SET seq = 6 WHERE seq = 100"], (3, Flaw.TILE, 3)),
        (["INSERT INTO records SELECT 11, record, 'new', at, action, caller, '', '', '', salt, leaf"
          " FROM records WHERE seq = 10"], (11, Flaw.INDEX, 0)),
        (["DELETE FROM records"], (1, Flaw.CUT, 10)),
        (["UPDATE tree SET frontier = set_byte(frontier, 40, get_byte(frontier, 40) # 1)"], (9, Flaw.TREE, 10)),
        (["UPDATE checkpoint SET note = replace(note, 'test/audit', 'test/audi_')"], (10, Flaw.CHECKPOINT, 0)),
        (["UPDATE checkpoint SET note = ''"], (10, Flaw.CHECKPOINT, 0)),
]  # fmt: skip


async def test_every_edit_of_the_table_is_found_at_its_record(log: Log) -> None:
    await log.fill(10)
    await log.publish()
    await log.back_up()
    for statements, found in EDITS:
        await log.tamper(*statements)
        assert (await log.verify()).broken == Break(*found), statements
        await log.restore()
    assert (await log.verify()).broken is None


TILES: list[tuple[str, int | None, tuple[int, int]]] = [
    ("tile/0/000", 32 * 3 + 5, (4, 4)),
    ("tile/0/000", 8191, (256, 256)),
    ("tile/entries/000", 34 * 3 + 1, (4, 4)),
    ("tile/entries/000", 34 * 3 + 20, (4, 4)),
    ("tile/0/001.p/44", 0, (257, 257)),
    ("tile/entries/001.p/44", 34 * 43 + 2, (300, 300)),
    ("tile/1/000.p/1", 7, (1, 256)),
    ("tile/1/000.p/1", None, (1, 256)),
    ("tile/0/000", None, (1, 256)),
    ("tile/entries/001.p/44", None, (257, 300)),
]


async def test_a_byte_flipped_in_a_tile_or_a_tile_that_is_missing_is_found_at_its_records(log: Log) -> None:
    await log.fill(300)
    await log.publish()
    await log.back_up()
    for path, at, found in TILES:
        if at is None:
            (log.folder / path).unlink()
        else:
            log.flip(path, at)
        assert (await log.verify()).broken == Break(found[0], Flaw.TILE, found[1]), path
        await log.restore()
    log.flip("checkpoint", 3)
    assert (await log.verify()).broken == Break(300, Flaw.CHECKPOINT)
    await log.restore()
    log.flip("tile/1/000.p/1", 7)
    await log.fill(1, 300)
    with pytest.raises(LogBrokenError):  # nothing is signed over it either
        await log.publish()


async def test_every_single_byte_of_a_record_and_of_its_tile_counts(log: Log) -> None:
    await log.fill(3)
    await log.publish()
    length = await log.pool.fetchval("SELECT length(record) FROM records WHERE seq = 2")
    for column, at in [("record", n) for n in range(0, length, 37)] + [("salt", 0), ("leaf", 31)]:
        await log.tamper(_flipped(column, 2, str(at)))
        verdict = await log.verify()
        assert verdict.broken is not None
        assert (verdict.broken.seq, verdict.record_id) == (2, f"{1:032x}")
        await log.tamper(_flipped(column, 2, str(at)))
    verdict = await log.verify()
    assert verdict.broken is None


async def test_the_last_record_deleted_with_every_trace_of_it_is_shown_by_the_witness_checkpoint(log: Log) -> None:
    await log.fill(9)
    before = await log.publish()
    shutil.copytree(log.folder, log.folder.with_name("before"))
    await log.fill(1, 9)
    witnessed = await log.publish()
    # Whoever owns the machine puts everything back as it was before the last record: table, tree, checkpoint and tiles.
    await log.tamper("DELETE FROM records WHERE seq = 10", _CUT)
    await log.pool.execute("UPDATE checkpoint SET note = $1", before)
    shutil.rmtree(log.folder)
    shutil.copytree(log.folder.with_name("before"), log.folder)
    verdict = await log.verify()
    assert (verdict.broken, verdict.records) == (None, 9)  # in itself, it is whole
    # The verification itself was recorded as the tenth: the size is that of the witness's checkpoint, the root is not.
    found = (await log.verify(since=witnessed)).broken
    assert found == Break(1, Flaw.TREE, 10)


async def test_a_log_that_became_shorter_than_a_checkpoint_is_cut(log: Log) -> None:
    await log.fill(9)
    before = await log.publish()
    await log.fill(5, 9)
    witnessed = await log.publish()
    await log.tamper("DELETE FROM records WHERE seq > 9", _CUT)
    await log.pool.execute("UPDATE checkpoint SET note = $1", before)
    (log.folder / "checkpoint").write_text(before)
    assert (await log.verify(since=witnessed)).broken == Break(10, Flaw.CUT, 14)


async def test_a_log_rewritten_by_one_who_has_its_key_does_not_hold_against_an_earlier_checkpoint(log: Log) -> None:
    await log.fill(300)
    witnessed = await log.publish()
    cosigned = Note.parse(witnessed)
    await log.tamper(
        "DELETE FROM records", "UPDATE tree SET size = 0, frontier = ''", "UPDATE checkpoint SET note = ''"
    )
    shutil.rmtree(log.folder)
    await log.fill(310, 1)
    await log.publish()
    verdict = await log.verify()
    assert verdict.broken is None
    assert (await log.verify(since=str(cosigned))).broken == Break(1, Flaw.TREE, 300)


async def test_a_log_is_verified_from_a_checkpoint_on(log: Log) -> None:
    await log.fill(700)
    earlier = await log.publish()
    await log.fill(300, 700)
    verdict = await log.verify(since=earlier)
    assert (verdict.since, verdict.records, verdict.broken) == (700, 1000, None)
    await log.tamper(_flipped("record", 10), _flipped("record", 900))
    broken = (await log.verify(since=earlier)).broken
    assert broken == Break(900, Flaw.CONTENT)  # what the checkpoint answers for is not looked at again
    for wrong in ("nonsense", earlier.replace("\n700\n", "\n701\n")):
        with pytest.raises(InvalidCheckpointError):
            await log.verify(since=wrong)


async def test_nothing_is_signed_that_does_not_continue_what_was_signed(log: Log) -> None:
    await log.fill(10)
    await log.publish()
    await log.tamper("DELETE FROM records WHERE seq = 10", _CUT)
    with pytest.raises(LogBrokenError):
        await log.publish()


async def test_tiles_that_were_lost_are_made_anew_out_of_the_table_if_it_is_what_was_signed(log: Log) -> None:
    await log.fill(300)
    await log.publish()
    content = {path: path.read_bytes() for path in log.folder.rglob("*") if path.is_file()}
    shutil.rmtree(log.folder)
    await log.publish()
    assert {path: path.read_bytes() for path in log.folder.rglob("*") if path.is_file()} == content
    shutil.rmtree(log.folder)
    await log.tamper("UPDATE records SET leaf = sha256(leaf) WHERE seq = 3")
    with pytest.raises(LogBrokenError):
        await log.publish()
    assert not log.folder.exists()


async def test_a_proof_of_a_record_verifies_offline_and_no_changed_one_does(log: Log) -> None:
    await log.fill(300)
    text = await log.prove(f"{7:032x}")
    proof = proofs.Proof.parse(text)
    assert str(proof) == text
    _, checkpoint = proofs.check(proof, log.signer.key)
    assert (proof.index, checkpoint.size) == (7, 300)
    assert json.loads(proof.record)["record_id"] == f"{7:032x}"
    for forged in (
        replace(proof, index=8),
        replace(proof, record=proof.record.replace(b"ann", b"eve")),
        replace(proof, path=proof.path[:-1]),
        replace(proof, checkpoint=proof.checkpoint.replace("\n300\n", "\n301\n")),
    ):
        with pytest.raises((ProofError, notes.NoteError)):
            proofs.check(forged, log.signer.key)
    with pytest.raises(notes.NoteError):
        proofs.check(proof, Signer("test/audit", Kind.LOG, bytes(32)).key)
    with pytest.raises(UnknownRecordError):
        await log.prove("nobody")
    (reading, *_) = await log.ledger.find(LogQuery(action="audit-read"))
    assert reading.record is not None
    assert json.loads(reading.record)["detail"] == "proof"


async def test_a_witness_signature_is_taken_in_and_goes_with_proofs(log: Log) -> None:
    await log.fill(10)
    note = Note.parse(await log.publish())
    witness, stranger = (Signer(name, Kind.WITNESS, bytes([n] * 32)) for n, name in enumerate(("w.example", "x"), 1))
    known = witnessing.witness_keys(f"{witness.key}")
    for signer in (stranger, witness):
        cosigned = str(note.with_signatures(signer.sign(note.text, at=1_790_000_000)))
        if signer is stranger:
            with pytest.raises(InvalidCheckpointError):
                await witnessing.take_in(cosigned, ledger=log.ledger, signer=log.signer, witnesses=known)
        else:
            await witnessing.take_in(cosigned, ledger=log.ledger, signer=log.signer, witnesses=known)
    await log.fill(10, 10)
    _, checkpoint = proofs.check(proofs.Proof.parse(await log.prove(f"{3:032x}")), log.signer.key, known)
    assert checkpoint.size == 10
    later = proofs.Proof.parse(await log.prove(f"{15:032x}"))
    assert proofs.check(later, log.signer.key)[1].size > 10
    with pytest.raises(notes.NoteError, match=r"w\.example"):
        proofs.check(later, log.signer.key, known)
    assert (await log.verify()).broken is None


async def test_a_person_can_be_erased_and_every_proof_holds_as_before(log: Log) -> None:
    await recording.record([recorded(n, study_instance_uid=f"1.{n % 3 + 2}") for n in range(9)], ledger=log.ledger)
    given = await log.prove(f"{0:032x}")
    before = await log.publish()
    erased = await erasing.erase(LogQuery(patient_id="P1"), principal=ANN, ledger=log.ledger, patients=Archive())
    # with the readings of the proof, which name the study
    assert erased == 6 + 1
    assert await log.ledger.find(LogQuery(study_instance_uid="1.2")) == []
    everything = await log.pool.fetch("SELECT record, salt, caller, study_instance_uid FROM records ORDER BY seq")
    assert all(b'"1.2"' not in (row["record"] or b"") for row in everything)
    assert [row["record"] is None and row["salt"] is None for row in everything[:3]] == [True, True, False]
    verdict = await log.verify()
    assert verdict.broken is None
    assert (await log.verify(since=before)).broken is None
    proofs.check(proofs.Proof.parse(given), log.signer.key)
    gone = proofs.Proof.parse(await log.prove(f"{0:032x}"))
    proofs.check(gone, log.signer.key)
    assert (gone.record, gone.salt) == (b"", b"")
    telling = await log.ledger.find(LogQuery(action="audit-erase"))
    assert len(telling) == 7
    # What tells of an erasure is never erased.
    assert await erasing.erase(LogQuery(caller="ann"), principal=ANN, ledger=log.ledger, patients=Archive())
    assert len(await log.ledger.find(LogQuery(action="audit-erase"))) > 7
    assert (await log.verify()).broken is None


async def test_records_are_found_by_what_is_asked(log: Log) -> None:
    records = [
        recorded(1, study_instance_uid="1.2", series_instance_uid="1.2.3"),
        recorded(2, study_instance_uid="1.2", action="store", caller="PACS"),
        recorded(3, job_id="a" * 32, action="job", at="2026-11-22T00:00:00+01:00"),
        recorded(4, at="no time at all"),
        recorded(5, study_instance_uid="1.4", at="2026-11-20T00:00:00Z"),
    ]
    await recording.record(records, ledger=log.ledger)
    day = datetime(2026, 11, 21, tzinfo=UTC)
    for query, found in [
        (LogQuery(study_instance_uid="1.2"), [2, 1]),
        (LogQuery(series_instance_uid="1.2.3"), [1]),
        (LogQuery(study_instance_uid="1.2", action="store"), [2]),
        (LogQuery(caller="PACS"), [2]),
        (LogQuery(job_id="a" * 32), [3]),
        (LogQuery(record_id=f"{4:032x}"), [4]),
        (LogQuery(since=day.replace(hour=13)), [3]),
        (LogQuery(since=day, until=day.replace(hour=13)), [2, 1]),
        (LogQuery(after=3, limit=1), [2]),
        (LogQuery(studies=("1.2", "1.3"), caller="PACS"), [2]),
    ]:
        assert [entry.seq for entry in await log.ledger.find(query)] == found


async def test_who_saw_a_patient_is_answered_and_that_it_was_asked_is_recorded_for_each_study(log: Log) -> None:
    await recording.record([recorded(n, study_instance_uid=f"1.{n}") for n in (2, 3, 4)], ledger=log.ledger)
    page = await asking.read(
        LogQuery(patient_id="P1"), principal=ANN, ledger=log.ledger, patients=Archive(), named=True
    )
    assert [entry.seq for entry in page.entries] == [2, 1]
    assert page.patients == {"1.2": "P1", "1.3": "P1"}
    nobody = await asking.read(LogQuery(patient_id="P9"), principal=ANN, ledger=log.ledger, patients=Archive())
    assert nobody.entries == ()
    readings = await log.ledger.find(LogQuery(action="audit-read"))
    assert [(entry.index.study_instance_uid, entry.index.caller) for entry in readings] == [
        ("", "ann"),
        ("1.3", "ann"),
        ("1.2", "ann"),
    ]


async def test_a_record_that_holds_anything_at_all_is_kept_and_does_not_stop_others(log: Log) -> None:
    odd = recorded(1, caller="\x00" * 500_000, source="'; DROP TABLE records; --", detail="\u202e\ufffe\U0001f9a0")
    await recording.record([odd, recorded(2), recorded(3)], ledger=log.ledger)
    verdict = await log.verify()
    assert (verdict.records, verdict.broken) == (3, None)


async def test_a_database_that_is_away_is_a_passing_fault(log: Log) -> None:
    await log.pool.close()
    with pytest.raises(LogUnavailableError):
        await recording.record([recorded(1)], ledger=log.ledger)
    with pytest.raises(LogUnavailableError):
        await asking.read(LogQuery(), principal=ANN, ledger=log.ledger, patients=Archive())


async def test_a_receiver_goes_on_where_it_was_and_one_process_at_a_time_sends(log: Log) -> None:
    await log.fill(5)
    assert await log.ledger.cursor("syslog") == 0
    await log.ledger.advance("syslog", 3)
    await log.ledger.advance("syslog", 2)  # it never goes back
    assert (await log.ledger.cursor("syslog"), await log.ledger.cursor("fhir")) == (3, 0)
    assert [entry.seq for entry in await log.ledger.following(3, 10)] == [4, 5]
    other = PostgresLedger(log.pool)
    async with log.ledger.turn("syslog") as mine, other.turn("syslog") as theirs, other.turn("fhir") as different:
        assert (mine, theirs, different) == (True, False, True)
    async with other.turn("syslog") as theirs:
        assert theirs


async def test_a_folder_that_cannot_be_written_keeps_nothing_from_being_recorded(log: Log) -> None:
    log.folder.write_text("a file is no folder")
    await log.fill(5)
    with pytest.raises(FolderUnavailableError):
        await log.publish()
    log.folder.unlink()
    assert (await log.verify()).broken is None


async def test_a_log_that_is_written_and_signed_meanwhile_is_verified_as_it_was(log: Log) -> None:
    async def go_on() -> None:
        for start in range(0, 2000, 100):
            await log.fill(100, start)
            await log.publish()

    going = asyncio.create_task(go_on())
    while not going.done():
        assert (await log.verify()).broken is None
    await going
    assert (await log.verify()).broken is None
