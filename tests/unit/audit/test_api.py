"""The log by HTTP: asked, answered in three forms, verified, proved, erased."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, Response

from services.audit import model, proofs
from services.audit.api import asking as api
from services.audit.api import tiles as tile_api
from services.audit.handlers import recording
from services.audit.log import AuditLog
from services.audit.notes import Key
from services.chassis.health import Health
from services.chassis.http import create_app
from services.chassis.log import Log
from tests.unit.audit.memory import MemoryLedger, log_in, recorded


async def filled(records: int) -> MemoryLedger:
    ledger = MemoryLedger()
    await recording.record([recorded(number) for number in range(records)], ledger=ledger)
    return ledger


class Client:
    def __init__(self, log: AuditLog) -> None:
        routers = [api.router(log), tile_api.router(log.folder), tile_api.router(log.folder, "/audit")]
        self._app = create_app("audit", health=Health(), log=Log("test"), routers=routers, status_of=api.status_of)

    async def __call__(self, path: str, method: str = "GET", **options: object) -> Response:
        async with AsyncClient(transport=ASGITransport(self._app), base_url="http://audit") as client:
            return await client.request(method, path, **options)  # type: ignore[arg-type]  # httpx's own names


async def ask(path: str, ledger: MemoryLedger, folder: Path = Path("/nowhere")) -> Response:
    return await Client(log_in(folder, ledger))(path)


async def test_reading_the_log_is_in_the_log_with_who_and_how_many() -> None:
    ledger = await filled(3)
    reply = await ask("/audit?study=1.2.3", ledger)
    reading = json.loads(ledger.entries[-1].record or b"")
    assert len(reply.json()["records"]) == 3
    assert (reading["action"], reading["caller"], reading["instances"], reading["study_instance_uid"]) == (
        "audit-read",
        "local",
        3,
        "1.2.3",
    )


async def test_a_log_that_cannot_record_the_reading_is_not_read() -> None:
    ledger = await filled(3)
    ledger.available = False
    reply = await ask("/audit", ledger)
    assert reply.status_code == 503
    assert "1.2.3" not in reply.text


async def test_records_are_given_newest_first_page_by_page() -> None:
    ledger = await filled(5)
    first = (await ask("/audit?limit=2", ledger)).json()
    second = (await ask(f"/audit?limit=2&after={first['next']}", ledger)).json()
    assert [record["seq"] for record in first["records"] + second["records"]] == [5, 4, 3, 2]
    last = (await ask(f"/audit?limit=2&after={second['next']}", ledger)).json()
    assert ([record["seq"] for record in last["records"]], last["next"]) == ([1], None)
    assert first["records"][0]["leaf"] == ledger.entries[4].leaf.hex()
    assert first["records"][0]["record_id"] == f"{4:032x}"


async def test_a_page_links_to_the_next_in_the_forms_that_have_no_place_for_it() -> None:
    reply = await ask("/audit?limit=2&format=fhir", await filled(5))
    assert reply.headers["link"] == '<http://audit/audit?limit=2&format=fhir&after=4>; rel="next"'
    assert [entry["resource"]["id"] for entry in reply.json()["entry"]] == [f"{4:032x}", f"{3:032x}"]


@pytest.mark.parametrize(
    "query",
    [
        "study=Doe%5EJane",
        "job=Doe",
        "action=peek",
        "from=Doe",
        "to=2026-13-01",
        "limit=Doe",
        "after=0",
        "Doe=1",
        "user=",
        "format=Doe",
    ],
)
async def test_an_invalid_parameter_is_refused_and_its_value_not_repeated(query: str) -> None:
    ledger = await filled(1)
    reply = await ask(f"/audit?{query}", ledger)
    assert reply.status_code == 400
    assert "Doe" not in reply.text
    assert "2026" not in reply.text
    assert len(ledger.entries) == 1


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "application/json"),
        ("text/html, application/json;q=0.9", "application/json"),
        ("application/dicom-audit+xml", "application/dicom-audit+xml"),
        ("application/xml", "application/dicom-audit+xml"),
        ("application/fhir+json; fhirVersion=4.0", "application/fhir+json"),
    ],
)
async def test_a_record_is_given_in_the_form_that_is_asked_for(accept: str, media: str) -> None:
    client = Client(log_in(Path("/nowhere"), await filled(1)))
    for path in (f"/audit/records/{0:032x}", "/audit"):
        reply = await client(path, headers={"Accept": accept})
        assert reply.status_code == 200
        assert reply.headers["content-type"].partition(";")[0] == media


async def test_a_form_that_nobody_has_and_a_record_that_nobody_made_are_refused() -> None:
    client = Client(log_in(Path("/nowhere"), await filled(1)))
    assert (await client("/audit", headers={"Accept": "image/png"})).status_code == 406
    assert (await client("/audit/records/nobody")).status_code == 404


async def test_an_untouched_log_is_verified_and_a_changed_record_named(tmp_path: Path) -> None:
    ledger = await filled(5)
    client = Client(log_in(tmp_path, ledger))
    told = (await client("/audit/verify")).json()
    assert (told["intact"], told["records"], told["broken"]) == (True, 5, None)
    since = await client("/audit/verify", "POST", content=told["checkpoint"], headers={"Content-Type": "text/plain"})
    assert (since.json()["intact"], since.json()["since"], since.json()["records"]) == (True, 5, 6)
    del ledger.entries[2]
    told = (await client("/audit/verify")).json()
    assert (told["intact"], told["broken"]) == (False, {"seq": 3, "until": 3, "flaw": "gap", "record_id": ""})
    assert (
        await client("/audit/verify", "POST", content="x", headers={"Content-Type": "text/plain"})
    ).status_code == 400


async def test_the_tree_is_served_as_static_tiles_at_both_places(tmp_path: Path) -> None:
    log = log_in(tmp_path, await filled(300))
    client = Client(log)
    assert (await client("/checkpoint")).status_code == 503
    await client("/audit/verify")
    for prefix in ("", "/audit"):
        checkpoint = await client(f"{prefix}/checkpoint")
        assert checkpoint.text == log.folder.checkpoint()
        assert checkpoint.headers["cache-control"] == "no-store"
        for path, length in (("tile/0/000", 8192), ("tile/0/001.p/44", 1408), ("tile/entries/001.p/44", 1496)):
            tile = await client(f"{prefix}/{path}")
            assert (len(tile.content), tile.headers["content-type"]) == (length, "application/octet-stream")
            assert "immutable" in tile.headers["cache-control"]
    for path in ("tile/0/002", "tile/0/../../../etc/passwd", "tile/0/001.p/45", "tile/x", "tile/0/%2e%2e/000"):
        assert (await client(f"/{path}")).status_code == 404


async def test_a_proof_is_given_with_the_key_that_it_is_checked_by(tmp_path: Path) -> None:
    client = Client(log_in(tmp_path, await filled(5)))
    text = (await client(f"/audit/records/{3:032x}/proof")).text
    key = Key.parse((await client("/audit/key")).text)
    assert proofs.check(proofs.Proof.parse(text), key)[1].size == 5


async def test_a_patient_is_asked_for_and_erased_by_studies(tmp_path: Path) -> None:
    ledger = await filled(2)
    await recording.record([recorded(9, study_instance_uid="1.2.5")], ledger=ledger)
    client = Client(log_in(tmp_path, ledger))
    assert [each["seq"] for each in (await client("/audit?patient=P1&action=retrieve")).json()["records"]] == [2, 1]
    assert (await client("/audit/erase", "POST", json={})).status_code == 400
    erased = (await client("/audit/erase", "POST", json={"patient": "P1"})).json()["erased"]
    assert erased == 2 + 2  # and the two readings, which name the studies that were asked about
    gone = (await client(f"/audit/records/{0:032x}")).json()
    assert (gone["erased"], gone["seq"], gone["leaf"]) == (True, 1, ledger.entries[0].leaf.hex())
    assert (await client(f"/audit/records/{0:032x}?format=fhir")).status_code == 410
    assert (await client("/audit/verify")).json()["intact"]
    assert sum(bool(model.erased_by(each)) for each in ledger.entries) == 4
