"""Two worklist processes on one PostgreSQL and one NATS, and an archive that answers by gRPC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from services.contracts import subjects
from services.contracts.events import (
    AuditRecorded,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobInferred,
    JobProgressed,
    JobReleased,
    JobRequested,
    LeftOut,
    Result,
)
from tests.integration.ups_client import Ups, event
from tests.integration.worklist_parts import LOCALIZER, Mesh, Series, service


@pytest.fixture
def series() -> Series:
    return Series()


@pytest.fixture
def mesh(worklist_mesh: Mesh) -> Mesh:
    return worklist_mesh


def facts(job_id: str, attempt: int = 1) -> tuple[JobReleased, JobInferred]:
    return (
        JobReleased(job_id, "ct-lung", "1.0.0", f"jobs/{job_id}/input/manifest.json", 100, attempt),
        JobInferred(job_id, "ct-lung", "1.0.0", f"jobs/{job_id}/result.npz", "0" * 64, attempt),
    )


SEG = Result("SEG", "1.2", "1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.66.4")


async def test_a_series_that_settles_twice_brings_one_job_for_each_model_that_selects_it(
    mesh: Mesh, series: Series
) -> None:
    for _ in range(3):
        await mesh.settle(series)
    marker = Series()  # facts of one subject are heard in their order
    await mesh.settle(marker)
    await mesh.lung_job(marker)
    await asyncio.sleep(0.5)
    jobs = await mesh.jobs(series)
    assert sorted(job["model"] for job in jobs) == ["ct-bone", "ct-lung"]
    for job in jobs:
        (requested,) = mesh.said_of(JobRequested, job["id"])
        assert (requested.series_instance_uid, requested.revision, requested.attempt) == (series.uid, 1, 1)
        (audit,) = mesh.said_of(AuditRecorded, job["id"])
        assert (audit.action, audit.detail, audit.caller) == ("job", "requested", "service:worklist")
        assert job["trace_id"] == audit.trace_id != ""


async def test_a_model_whose_rule_does_not_hold_gets_no_job(mesh: Mesh, series: Series) -> None:
    mesh.archive.series[series.uid] = LOCALIZER
    await mesh.settle(series)
    await mesh.lung_job(series)
    assert [job["model"] for job in await mesh.jobs(series)] == ["ct-lung"]


async def test_a_job_goes_its_way_and_ends_with_its_results(mesh: Mesh, series: Series) -> None:
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    assert (job["state"], job["step"]) == ("requested", "deidentify")
    released, inferred = facts(job["id"])
    await mesh.bus.say(released)
    await mesh.in_state(job["id"], "released")
    await mesh.bus.say(inferred)
    left_out = LeftOut("GSPS", "not-carried", "a slide cannot carry a GSPS, so there is none")
    await mesh.bus.say(JobCompleted(job["id"], (SEG,), (left_out,)))
    ended = await mesh.in_state(job["id"], "completed")
    assert ended["left_out"] == [{"kind": "GSPS", "reason_code": "not-carried", "reason": left_out.reason}]
    assert ended["results"] == [
        {
            "kind": "SEG",
            "study_instance_uid": "1.2",
            "series_instance_uid": "1.2.3",
            "sop_instance_uid": "1.2.3.4",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.66.4",
        }
    ]

    async def with_all_times() -> Any:
        times = [(await mesh.in_state(job["id"], "completed"))[f"{name}_at"] for name in
                 ("requested", "released", "inferred", "finished")]  # fmt: skip
        return times if all(times) else None

    times = await mesh.until(with_all_times)
    assert times == sorted(times)
    # Nothing moves it back.
    for late in (released, inferred, JobFailed(job["id"], "infer", "late", "late")):
        await mesh.bus.say(late)
    await asyncio.sleep(0.3)
    assert (await mesh.in_state(job["id"], "completed"))["reason_code"] == ""


async def test_a_newer_revision_supersedes_and_stops_what_is_unfinished(mesh: Mesh, series: Series) -> None:
    await mesh.settle(series)
    first = await mesh.lung_job(series)
    await mesh.bus.say(JobCompleted(first["id"], (SEG,)))
    await mesh.in_state(first["id"], "completed")
    await mesh.settle(series, revision=2)

    async def of_revision_2() -> Any:
        return [job for job in await mesh.jobs(series) if job["revision"] == 2 and job["model"] == "ct-lung"]

    (second,) = await mesh.until(of_revision_2)
    assert second["supersedes"] == first["id"]
    bone = next(job for job in await mesh.jobs(series) if job["model"] == "ct-bone")
    stopped = await mesh.in_state(bone["id"], "cancelled")
    assert stopped["reason_code"] == "superseded"
    await mesh.until(lambda: _soon(mesh.said_of(JobCancelled, bone["id"])))
    # The older revision, delivered once more, brings nothing.
    await mesh.settle(series)
    await asyncio.sleep(0.3)
    assert len(await mesh.jobs(series)) == 4


async def _soon(value: Any) -> Any:
    return value


async def test_a_failure_is_visible_and_a_retry_requests_the_job_again(mesh: Mesh, series: Series) -> None:
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    await mesh.bus.say(JobFailed(job["id"], "assemble", "not-a-volume", "the slices lie in two directions"))
    failed = await mesh.in_state(job["id"], "failed")
    assert (failed["step"], failed["reason_code"], failed["reason"]) == (
        "assemble",
        "not-a-volume",
        "the slices lie in two directions",
    )
    assert [found["id"] for found in await mesh.jobs(series, state="failed")] == [job["id"]]
    reply = await mesh.http.post(f"{mesh.addresses[1]}/jobs/{job['id']}/retry")
    assert (reply.status_code, reply.json()["attempt"], reply.json()["state"]) == (200, 2, "waiting")
    requested = await mesh.until(lambda: _soon(len(mesh.said_of(JobRequested, job["id"])) == 2))
    assert requested
    assert [fact.attempt for fact in mesh.said_of(JobRequested, job["id"])] == [1, 2]
    assert (await mesh.http.post(f"{mesh.addresses[0]}/jobs/{job['id']}/retry")).status_code == 409
    await mesh.bus.say(facts(job["id"], attempt=1)[0])
    await mesh.bus.say(facts(job["id"], attempt=2)[1])
    assert (await mesh.in_state(job["id"], "inferred"))["released_at"] is None


async def test_a_cancelled_job_says_so_and_stays_cancelled(mesh: Mesh, series: Series) -> None:
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    reply = await mesh.http.post(f"{mesh.addresses[0]}/jobs/{job['id']}/cancel")
    assert (reply.status_code, reply.json()["state"]) == (200, "cancelled")
    await mesh.until(lambda: _soon(mesh.said_of(JobCancelled, job["id"])))
    await mesh.bus.say(facts(job["id"])[0])
    await asyncio.sleep(0.2)
    assert (await mesh.http.post(f"{mesh.addresses[0]}/jobs/{job['id']}/cancel")).status_code == 409
    details = [audit.detail for audit in mesh.said_of(AuditRecorded, job["id"])]
    assert details == ["requested", "cancelled"]


async def events(
    mesh: Mesh, process: int, headers: dict[str, str] | None = None, **query: str
) -> AsyncGenerator[Any, None]:
    """The events of a stream: `(id, job)`, or `None` for a sign of life."""
    url = f"{mesh.addresses[process]}/jobs/events"
    async with mesh.http.stream("GET", url, params=query, headers=headers) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        number = 0
        async for line in reply.aiter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                yield number, json.loads(line[6:])
            elif line.startswith(":"):
                yield None


async def test_events_show_progress_and_every_change_from_whichever_process(mesh: Mesh, series: Series) -> None:
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    streams = [events(mesh, process, job=job["id"]) for process in (0, 1)]
    for stream in streams:
        _, present = await anext(stream)
        assert (present["id"], present["state"]) == (job["id"], "requested")
        assert await anext(stream) is None  # a sign of life

    async def next_job(stream: AsyncIterator[Any]) -> dict[str, Any]:
        while (event := await anext(stream)) is None:
            pass
        return dict(event[1])

    await mesh.bus.mention(JobProgressed(job["id"], "deidentify", 40, 100))
    for stream in streams:
        now = await next_job(stream)
        assert (now["step"], now["done"], now["total"]) == ("deidentify", 40, 100)
    await mesh.bus.say(facts(job["id"])[0])
    for stream in streams:
        assert (await next_job(stream))["state"] == "released"
        await stream.aclose()


async def test_a_stream_that_is_taken_up_again_misses_nothing(mesh: Mesh, series: Series) -> None:
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    stream = events(mesh, 0, study=series.study)
    number, _ = await anext(stream)
    await stream.aclose()
    await mesh.bus.say(facts(job["id"])[0])
    await mesh.in_state(job["id"], "released")
    again = events(mesh, 1, {"Last-Event-ID": str(number)}, study=series.study)
    while (event := await anext(again)) is None or event[1]["state"] != "released":
        pass
    assert event[1]["id"] == job["id"]
    await again.aclose()


async def test_events_go_on_when_the_database_cuts_the_connection_that_announces(mesh: Mesh, series: Series) -> None:
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    stream = events(mesh, 0, job=job["id"])
    await anext(stream)
    database = await asyncpg.connect(mesh.environment["PLEXUS_WORKLIST_DATABASE_URL"])
    cut = await database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
    assert cut
    await database.close()
    await mesh.bus.say(facts(job["id"])[0])
    while (event := await anext(stream)) is None or event[1]["state"] != "released":
        pass
    await stream.aclose()


async def test_a_process_that_stops_ends_its_streams(mesh: Mesh, series: Series, tmp_path: Path) -> None:
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    async with service(mesh.environment, tmp_path / "3.log") as address:
        reading = asyncio.create_task(mesh.http.get(f"{address}/jobs/events", params={"job": job["id"]}))
        channel = Ups(mesh.http, address).channel("WATCHER")
        socket = await channel.__aenter__()
        await asyncio.sleep(0.5)
        assert not reading.done()
    assert job["id"] in (await reading).text
    assert (await event(socket))["00741242"]["Value"] == ["GOING DOWN"]
    await socket.wait_closed()
    assert socket.close_code in (1001, 1012)
    await channel.__aexit__(None, None, None)


async def test_a_fact_that_cannot_be_read_is_kept_aside_and_the_rest_goes_on(mesh: Mesh, series: Series) -> None:
    await mesh.bus.publish(subjects.SERIES_SETTLED, b"\xff\xff", {"Nats-Msg-Id": uuid4().hex})
    await mesh.settle(series)
    await mesh.lung_job(series)
    dead = [message for message in mesh.said if message.subject == "plexus.dead.worklist-series-settled"]
    assert dead
    assert dead[0].headers is not None
    assert dead[0].headers["Plexus-Reason-Code"] == "unreadable-event"


async def test_no_log_line_holds_a_uid_and_a_rule_that_fails_is_named(mesh: Mesh, series: Series) -> None:
    await mesh.settle(series)
    await mesh.lung_job(series)
    asked = {"study": series.study, "series": series.uid}
    assert (await mesh.http.get(f"{mesh.addresses[0]}/models/ct-lung/inputs", params=asked)).status_code == 200

    async def logged() -> Any:
        lines = "".join(log.read_text() for log in mesh.log_files)
        return lines if '"rule.failed"' in lines else None

    lines = await mesh.until(logged)
    assert "2.25." not in lines
    assert '"model": "ct-broken"' in lines
