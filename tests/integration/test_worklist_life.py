"""The life of a job and its work item where it does not go straight: cancelled, too late, watchers slow or gone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.contracts.events import JobCancelled, JobCompleted, JobInferred, JobReleased
from tests.integration.test_worklist_ups import in_state, of_job, run_of
from tests.integration.ups_client import GLOBAL, Ups, attribute, event, performed, state, told
from tests.integration.worklist_parts import Mesh, Series


@pytest.fixture
def mesh(worklist_mesh: Mesh) -> Mesh:
    return worklist_mesh


@pytest.fixture
def ups(mesh: Mesh) -> Ups:
    return Ups(mesh.http, mesh.addresses[1])


async def _at(mesh: Mesh, series: Series, reached: str) -> dict[str, Any]:
    """A job of the mesh that has come so far."""
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    if reached in ("released", "inferred"):
        await mesh.bus.say(JobReleased(job["id"], "ct-lung", "1.0.0", "in", 100))
    if reached == "inferred":
        await mesh.bus.say(JobInferred(job["id"], "ct-lung", "1.0.0", "out", "d"))
    return await mesh.in_state(job["id"], reached)


@pytest.mark.parametrize("reached", ["requested", "released", "inferred"])
@pytest.mark.parametrize("way", ["job", "work item"])
async def test_a_job_is_cancelled_wherever_it_is_and_nothing_moves_it_again(
    mesh: Mesh, ups: Ups, reached: str, way: str
) -> None:
    series = Series()
    job = await _at(mesh, series, reached)
    item = await of_job(mesh, ups, series)
    cancel = f"{mesh.addresses[0]}/jobs/{job['id']}/cancel"
    if way == "job":
        assert (await mesh.http.post(cancel)).status_code == 200
    else:
        assert (await ups.ask("POST", f"/workitems/{item}/cancelrequest")).status_code == 202
    await in_state(mesh, ups, item, "CANCELED")

    async def stopped() -> Any:
        return mesh.said_of(JobCancelled, job["id"])

    assert len(await mesh.until(stopped)) == 1
    assert (await mesh.http.post(cancel)).status_code == 409
    again = await ups.ask("POST", f"/workitems/{item}/cancelrequest")
    assert (again.status_code, "already in the requested state" in again.headers["warning"]) == (202, True)
    await mesh.bus.say(JobInferred(job["id"], "ct-lung", "1.0.0", "out", "e"))
    await mesh.bus.say(JobCompleted(job["id"], mesh.results))

    async def named() -> Any:
        found = (await mesh.http.get(f"{mesh.addresses[0]}/jobs/{job['id']}")).json()
        return found if found["results"] else None

    assert (await mesh.until(named))["state"] == "cancelled", "what came too late is named, and changes nothing else"
    assert await ups.state_of(item) == "CANCELED"
    assert (await mesh.http.post(f"{mesh.addresses[0]}/jobs/{job['id']}/retry")).status_code == 409


async def test_what_is_completed_is_not_cancelled(mesh: Mesh, ups: Ups) -> None:
    series = Series()
    job = await _at(mesh, series, "inferred")
    item = await of_job(mesh, ups, series)
    await mesh.bus.say(JobCompleted(job["id"], mesh.results))
    await in_state(mesh, ups, item, "COMPLETED")
    assert (await mesh.http.post(f"{mesh.addresses[0]}/jobs/{job['id']}/cancel")).status_code == 409
    refused = await ups.ask("POST", f"/workitems/{item}/cancelrequest")
    assert (refused.status_code, refused.json()["code"]) == (409, "C311")


async def _asked(mesh: Mesh, model: str, seconds: float) -> tuple[dict[str, Any], Series]:
    series = Series()
    deadline = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    wish = {"model": model, "study": series.study, "series": series.uid, "deadline": deadline}
    (job,) = (await mesh.http.post(f"{mesh.addresses[0]}/jobs", json=wish)).json()["jobs"]
    return job, series


async def test_a_job_whose_deadline_passes_while_it_is_in_work_is_given_up_and_its_work_stops(
    mesh: Mesh, ups: Ups
) -> None:
    job, series = await _asked(mesh, "ct-lung", 1.5)
    item = await of_job(mesh, ups, series)
    await in_state(mesh, ups, item, "IN PROGRESS")
    failed = await mesh.in_state(job["id"], "failed")
    assert failed["reason_code"] == "deadline-passed"
    (information,) = (await in_state(mesh, ups, item, "CANCELED"))["00741002"]["Value"]
    assert information["0074100E"]["Value"][0]["00080100"]["Value"] == ["110533"]

    async def stopped() -> Any:
        return mesh.said_of(JobCancelled, job["id"])

    await mesh.until(stopped)
    again = (await mesh.http.post(f"{mesh.addresses[0]}/jobs/{job['id']}/retry")).json()
    assert (again["attempt"], again["deadline"]) == (2, None)


async def test_a_performer_outside_that_is_too_late_is_told_so(mesh: Mesh, ups: Ups) -> None:
    job, series = await _asked(mesh, "ct-outside", 1.5)
    item = await of_job(mesh, ups, series, "ct-outside")
    transaction = await ups.claim(item)
    await ups.ask("POST", f"/workitems/{item}?transaction-uid={transaction}", performed())
    await mesh.in_state(job["id"], "failed")
    late = await ups.ask("PUT", f"/workitems/{item}/state", state("COMPLETED", transaction))
    assert (late.status_code, late.json()["code"]) == (409, "C300")
    assert (await ups.get(item))["00741002"]["Value"][0]["0074100E"]["Value"][0]["00080100"]["Value"] == ["110533"]


async def test_who_does_not_read_and_who_hangs_up_hold_up_nobody(mesh: Mesh, ups: Ups) -> None:
    path = f"/workitems/{GLOBAL}/subscribers/CROWD"
    async with ups.channel("CROWD") as reads, ups.channel("CROWD") as gone:
        sleeper = await asyncio.open_connection("127.0.0.1", int(ups.address.rpartition(":")[2]))
        sleeper[1].write(
            b"GET /ws/subscribers/CROWD HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b"101" in await sleeper[0].readline()
        assert (await ups.ask("POST", path)).status_code == 201
        first = await ups.create()
        assert told(await event(gone)) == (first, 1, "SCHEDULED")
        gone.transport.abort()
        made = [first, *[await ups.create() for _ in range(20)]]
        assert [told(await event(reads))[0] for _ in made] == made
        sleeper[1].transport.abort()
    assert (await ups.ask("DELETE", path)).status_code == 200
    async with ups.channel("CROWD") as socket:
        assert (await ups.ask("POST", f"/workitems/{first}/subscribers/CROWD")).status_code == 201
        assert told(await event(socket)) == (first, 1, "SCHEDULED")


async def test_a_run_with_two_work_items_is_claimed_once(mesh: Mesh, ups: Ups) -> None:
    series = Series()
    first, second = [await ups.create(run_of(series, "ct-outside")) for _ in range(2)]
    (job,) = await mesh.jobs(series)
    transaction = await ups.claim(first)
    refused = await ups.ask("PUT", f"/workitems/{second}/state", state("IN PROGRESS", "1.2.3.4.5"))
    assert (refused.status_code, refused.json()["code"]) == (409, "C302")
    await ups.ask("POST", f"/workitems/{first}?transaction-uid={transaction}", performed())
    assert (await ups.ask("PUT", f"/workitems/{first}/state", state("COMPLETED", transaction))).status_code == 200
    await mesh.in_state(job["id"], "completed")
    await in_state(mesh, ups, second, "COMPLETED")


async def test_a_run_is_about_what_it_was_asked_for(mesh: Mesh, ups: Ups) -> None:
    series, other = Series(), Series()
    item = await ups.create(run_of(series, "ct-lung", t00404005=attribute("DT", "9000")))
    source = run_of(other, "ct-bone")
    for tag in ("00404021", "00404018"):
        refused = await ups.ask("POST", f"/workitems/{item}", {tag: source[tag]})
        assert (refused.status_code, "create another work item" in refused.text) == (400, True)


async def test_a_claim_is_won_once_by_the_mesh_or_by_somebody_outside(mesh: Mesh, ups: Ups) -> None:
    series = Series()
    wish = {"model": "ct-lung", "study": series.study, "series": series.uid}
    (job,) = (await mesh.http.post(f"{mesh.addresses[0]}/jobs", json=wish)).json()["jobs"]
    item = await of_job(mesh, ups, series)
    given = state("IN PROGRESS", "1.2.3.4.5")
    claim = await ups.ask("PUT", f"/workitems/{item}/state", given)
    taken = (await mesh.http.get(f"{mesh.addresses[0]}/jobs/{job['id']}")).json()
    assert (claim.status_code, taken["performer"]) in ((200, "outside"), (400, "mesh"))
    other = Ups(mesh.http, mesh.addresses[0])
    update = {"00741204": attribute("LO", "Mine")}
    changed = await other.ask("POST", f"/workitems/{item}?transaction-uid=1.2.3.4.5", update)
    assert changed.status_code == claim.status_code
