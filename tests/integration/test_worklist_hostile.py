"""What a client may send by mistake or by malice: each is refused in words, and the service stays as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.integration.ups_client import (
    FILTERED,
    GLOBAL,
    JSON,
    Ups,
    attribute,
    event,
    state,
    told,
    uid,
    workitem,
)
from tests.integration.worklist_parts import Mesh, Series


@pytest.fixture
def mesh(worklist_mesh: Mesh) -> Mesh:
    return worklist_mesh


@pytest.fixture
def ups(mesh: Mesh) -> Ups:
    return Ups(mesh.http, f"{mesh.addresses[0]}/dicom-web")


def _given(**changed: Any) -> bytes:
    return json.dumps([changed]).encode()


_NO_DATA_SET: dict[str, bytes] = {
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "deep items": b'{"00404021":{"vr":"SQ","Value":[' * 20_000,
    "a number": b"5",
    "two": b"[{},{}]",
    "infinity": b'[{"00741204":{"vr":"LO","Value":[1e999]}}]',
    "half a character": b'[{"00741204":{"vr":"LO","Value":["\\ud800"]}}]',
    "a NUL": b'[{"00741204":{"vr":"LO","Value":["\\u0000"]}}]',
    "Latin 1": '[{"00741204":{"vr":"LO","Value":["ä"]}}]'.encode("latin-1"),
    "no tag": b'[{"abc":{"vr":"LO"}}]',
    "no VR": b'[{"00741204":{}}]',
    "an element that is text": b'[{"00741204":"x"}]',
    "a number as a text": _given(**{"00741204": attribute("LO", 5)}),
    "yes as a number": _given(**{"00741004": attribute("DS", True)}),
    "a text as a person": _given(**{"00100010": attribute("PN", "Doe")}),
    "a person as a priority": _given(**{"00741200": attribute("PN", {"Alphabetic": "HIGH"})}),
    "a sequence as a priority": _given(**{"00741200": attribute("SQ", {})}),
    "a text as a sequence": _given(**{"00404018": attribute("LO", "x")}),
}


@pytest.mark.parametrize("name", _NO_DATA_SET)
async def test_what_is_no_data_set_is_refused_wherever_one_is_expected(mesh: Mesh, ups: Ups, name: str) -> None:
    made = await ups.create()
    transaction = await ups.claim(made)
    for method, path in (
        ("POST", "/workitems"),
        ("POST", f"/workitems/{made}?transaction-uid={transaction}"),
        ("PUT", f"/workitems/{made}/state"),
        ("POST", f"/workitems/{made}/cancelrequest"),
    ):
        reply = await mesh.http.request(
            method, f"{ups.address}{path}", content=_NO_DATA_SET[name], headers={"content-type": JSON}
        )
        assert (reply.status_code, reply.json()["code"]) == (400, "invalid-workitem"), (method, path)
    assert await ups.state_of(made) == "IN PROGRESS"


@pytest.mark.parametrize(
    ("tag", "element"),
    [
        ("00741200", attribute("CS", None)),
        ("00741200", attribute("CS", "")),
        ("00741200", attribute("CS", "SOON")),
        ("00404008", attribute("DT", "soon")),
        ("00404011", attribute("DT", "20269921")),
        ("00404011", attribute("DT", "00010101000000+1400")),
    ],
)
async def test_a_value_that_says_nothing_or_is_no_time_is_refused(ups: Ups, tag: str, element: Any) -> None:
    reply = await ups.ask("POST", "/workitems", workitem(**{f"t{tag}": element}))
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid-workitem")
    made = await ups.create()
    assert (await ups.ask("POST", f"/workitems/{made}", {tag: element})).status_code == 400


@pytest.mark.parametrize("transaction", ["abc", "1.2.", "1." + "2" * 100_000, "ä", ""])
async def test_a_claim_needs_a_transaction_uid_that_is_one(ups: Ups, transaction: str) -> None:
    made = await ups.create()
    given = state("IN PROGRESS") | {"00081195": attribute("UI", transaction)}
    reply = await ups.ask("PUT", f"/workitems/{made}/state", given)
    assert (reply.status_code, reply.json()["code"]) == (400, "C301")
    assert await ups.state_of(made) == "SCHEDULED"


async def test_a_key_with_many_stars_costs_no_more_than_its_length(ups: Ups) -> None:
    label = f"L{uid()[-12:]}"
    await ups.create(workitem(t00400400=attribute("LT", "a" * 3000), t00741202=attribute("LO", label)))
    stars = "*a" * 12
    reply = await ups.ask("GET", f"/workitems?WorklistLabel={label}&CommentsOnTheScheduledProcedureStep={stars}b*c")
    assert reply.status_code == 204
    reply = await ups.ask("GET", f"/workitems?WorklistLabel={label}&CommentsOnTheScheduledProcedureStep={stars}*")
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/workitems?limit=-1", 400),
        ("GET", "/workitems?limit=99999999999999999999", 400),
        ("GET", "/workitems?offset=999999999", 204),
        ("GET", "/workitems?ScheduledProcedureStepStartDateTime=20261-", 400),
        ("GET", "/workitems?PatientName=[*", 204),
        ("GET", "/workitems?" + "ScheduledWorkitemCodeSequence." * 100 + "CodeValue=x", 204),
        ("GET", "/workitems/%00", 400),
        ("PUT", f"/workitems/{FILTERED}/state", 404),
        ("POST", f"/workitems/{FILTERED}/cancelrequest", 404),
        ("POST", f"/workitems/{FILTERED}/subscribers/X?filter=WorklistLabel=%00", 400),
        ("POST", f"/workitems/{GLOBAL}/subscribers/%00", 400),
        ("POST", f"/workitems/{GLOBAL}/subscribers/A%0D%0AB", 400),
        ("POST", f"/workitems/{GLOBAL}/subscribers/X?deletionlock=maybe", 400),
        ("DELETE", f"/workitems/{GLOBAL}/subscribers/NOBODY", 404),
        ("DELETE", "/workitems/1.2.3", 405),
    ],
)
async def test_a_request_that_makes_no_sense_has_an_answer(ups: Ups, method: str, path: str, status: int) -> None:
    assert (await ups.ask(method, path)).status_code == status


async def test_a_resource_says_all_that_it_can_do(ups: Ups) -> None:
    made = await ups.create()
    for path, allow in (
        ("/workitems", "GET, HEAD, OPTIONS, POST"),
        (f"/workitems/{made}", "GET, HEAD, OPTIONS, POST"),
        (f"/workitems/{made}/state", "OPTIONS, PUT"),
        (f"/workitems/{made}/subscribers/A", "DELETE, OPTIONS, POST"),
    ):
        for method, status in (("OPTIONS", 204), ("PATCH", 405)):
            reply = await ups.ask(method, path)
            assert (reply.status_code, reply.headers["allow"]) == (status, allow)
    head = await ups.ask("HEAD", f"/workitems/{made}")
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", JSON)


async def test_the_address_of_a_channel_is_one_that_can_be_opened(ups: Ups) -> None:
    made = await ups.create()
    reply = await ups.ask("POST", f"/workitems/{made}/subscribers/A%20B")
    where = reply.headers["content-location"]
    assert where.endswith("/ws/subscribers/A%20B")
    async with connect(where) as socket:
        await ups.claim(made)
        assert told(await event(socket)) == (made, 1, "IN PROGRESS")


@pytest.mark.parametrize(("path", "limit"), [("/jobs", "65536 bytes"), ("/workitems", "4194304 bytes")])
async def test_a_body_that_never_ends_is_cut(mesh: Mesh, path: str, limit: str) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 1_000_000

    reply = await mesh.http.post(
        f"{mesh.addresses[1]}{path}", content=endless(), headers={"content-type": "application/json"}
    )
    assert (reply.status_code, limit in reply.text) == (413, True)


async def test_a_wish_that_cannot_be_granted_is_refused(mesh: Mesh) -> None:
    series = Series()
    wish = {"model": "ct-lung", "study": series.study, "series": series.uid}
    for wrong in (
        {"deadline": "0001-01-01T00:00:00+14:00"},
        {"deadline": "9999-12-31T23:59:59-14:00"},
        {"deadline": "2026-11-21T12:00:00"},
        {"priority": "STAT"},
        {"inputs": {str(n): "1.2" for n in range(8)}},
        {"inputs": {"prior": "Doe^Jane"}},
    ):
        assert (await mesh.http.post(f"{mesh.addresses[0]}/jobs", json=wish | wrong)).status_code == 400, wrong
    assert (await mesh.http.get(f"{mesh.addresses[0]}/jobs?model=%00")).status_code == 400
