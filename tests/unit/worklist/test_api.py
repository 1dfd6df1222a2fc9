"""The worklist's HTTP edge, on fakes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response

from services.chassis.health import Health
from services.chassis.http import create_app
from services.chassis.log import Log
from services.contracts.events import AuditRecorded, InputSeries
from services.worklist.api import jobs as api
from services.worklist.api import models
from services.worklist.errors import http_status
from services.worklist.model import Job, JobState
from tests.unit.worklist.samples import (
    SERIES,
    STUDY,
    FixedCandidates,
    MemoryArchive,
    MemoryJobs,
    MemoryJournal,
    card,
    job,
)

FIELDS = [
    "id",
    "model",
    "model_version",
    "state",
    "step",
    "done",
    "total",
    "reason_code",
    "reason",
    "study_instance_uid",
    "series_instance_uid",
    "revision",
    "supersedes",
    "attempt",
    "trace_id",
    "requested_at",
    "released_at",
    "inferred_at",
    "finished_at",
    "results",
    "left_out",
    "priority",
    "performer",
    "deadline",
    "not_before",
    "admitted_at",
    "inputs",
    "chosen",
    "shadow",
    "shadowed_at",
]


class FixedChanges:
    """Changes that are known beforehand."""

    def __init__(self, *batches: Sequence[Job]) -> None:
        self._batches = batches

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Sequence[Job]]]:
        async def batches() -> AsyncIterator[Sequence[Job]]:
            for batch in self._batches:
                yield batch

        yield batches()


async def ask(path: str, jobs: MemoryJobs, changes: FixedChanges | None = None, *, method: str = "GET") -> Response:
    parts: Any = {
        "jobs": jobs,
        "catalogue": FixedCandidates(card(), but=[card("mr-brain")]),
        "archive": MemoryArchive(),
        "journal": MemoryJournal(),
    }
    routers = [api.router(**parts, changes=changes or FixedChanges(), dicomweb=""), models.router(**parts)]
    app = create_app("worklist", health=Health(), log=Log("test"), routers=routers, status_of=http_status)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://worklist") as client:
        return await client.request(method, path)


async def test_a_job_is_given_with_exactly_the_fields_that_are_promised() -> None:
    (given,) = (await ask("/jobs", MemoryJobs(job()))).json()["jobs"]
    assert list(given) == FIELDS
    assert given["requested_at"] == "2026-11-21T12:00:00Z"
    assert (await ask(f"/jobs/{'a' * 32}", MemoryJobs(job()))).json() == given


async def test_a_full_page_leads_to_the_next_one() -> None:
    jobs = MemoryJobs(job(), job(id="b" * 32))
    reply = await ask(f"/jobs?study={STUDY}&limit=1", jobs)
    assert reply.headers["link"] == f'<?study={STUDY}&limit=1&before=2>; rel="next"'
    assert "link" not in (await ask("/jobs?limit=3", jobs)).headers


@pytest.mark.parametrize(
    "query", ["study=Doe^Jane", "series=1.2%27", "state=asleep", "limit=0", "limit=9999", "before=-1"]
)
async def test_an_invalid_parameter_is_refused_and_its_value_not_repeated(query: str) -> None:
    reply = await ask(f"/jobs?{query}", MemoryJobs())
    name, _, value = query.partition("=")
    assert reply.status_code == 400
    assert name in reply.json()["detail"]
    assert value not in reply.text.replace("400", "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/jobs/{'f' * 32}", 404),
        ("POST", f"/jobs/{'f' * 32}/retry", 404),
        ("POST", f"/jobs/{'a' * 32}/retry", 409),
        ("GET", "/jobs/1.2.3", 400),
    ],
)
async def test_what_cannot_be_done_has_a_status(method: str, path: str, status: int) -> None:
    assert (await ask(path, MemoryJobs(job()), method=method)).status_code == status


async def test_a_job_that_has_ended_cannot_be_cancelled_twice() -> None:
    jobs = MemoryJobs(job())
    first = await ask(f"/jobs/{'a' * 32}/cancel", jobs, method="POST")
    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert (await ask(f"/jobs/{'a' * 32}/cancel", jobs, method="POST")).status_code == 409


async def test_events_begin_with_the_jobs_as_they_are_and_go_on_with_each_change_once() -> None:
    running = job(state=JobState.RELEASED, change=5)
    stranger = job(id="c" * 32, study_instance_uid="9", change=6)
    stale = job(change=1)
    changes = FixedChanges([stale], [running, stranger], [], [running])
    reply = await ask(f"/jobs/events?study={STUDY}", MemoryJobs(job()), changes)
    assert reply.headers["content-type"].startswith("text/event-stream")
    blocks = [block.splitlines() for block in reply.text.strip().split("\n\n")]
    assert blocks[0] == ["retry: 2000"]
    assert [block[:2] for block in blocks[1:3]] == [["event: job", "id: 1"], ["event: job", "id: 5"]]
    states = [json.loads(block[2].removeprefix("data: "))["state"] for block in blocks[1:3]]
    assert states == ["requested", "released"]
    assert blocks[3:] == [[": nothing new"]]


async def test_the_public_part_of_every_card_is_listed() -> None:
    model, _ = (await ask("/models", MemoryJobs())).json()["models"]
    assert (model["name"], model["selection"]) == ("ct-lung", "true")
    assert model["labels"] == [{"value": 1, "name": "Left lung", "colour": [1, 2, 3]}]
    assert model["inputs"] == []


async def test_a_job_tells_which_input_a_person_chose() -> None:
    prior, other = InputSeries("prior", "1.2", "1.2.3", "d"), InputSeries("t2", "1.2", "1.2.4", "d")
    kept = MemoryJobs(job(inputs=(prior, other), chosen=("prior",)))
    told = (await ask(f"/jobs/{'a' * 32}", kept)).json()["inputs"]
    assert told[0] == {"name": "prior", "study_instance_uid": "1.2", "series_instance_uid": "1.2.3", "chosen": True}
    assert [one["chosen"] for one in told] == [True, False]


async def test_a_model_that_takes_one_series_offers_nothing_beside_it_and_who_asked_is_on_record() -> None:
    jobs = MemoryJobs()
    reply = await ask(f"/models/ct-lung/inputs?study={STUDY}&series={SERIES}", jobs)
    assert reply.json() == {"model": "ct-lung", "model_version": "1.0.0", "inputs": []}
    ((record, _),) = jobs.said
    assert isinstance(record, AuditRecorded)
    assert (record.action, record.detail, record.series_instance_uid) == ("query", "model-inputs", SERIES)
    for path, status in (
        (f"nobody/inputs?study={STUDY}&series={SERIES}", 404),
        ("ct-lung/inputs", 400),
        ("ct-lung/inputs?study=Doe&series=1", 400),
        (f"Doe^Jane/inputs?study={STUDY}&series={SERIES}", 400),
    ):
        assert (await ask(f"/models/{path}", jobs)).status_code == status


async def test_the_api_describes_itself() -> None:
    paths = (await ask("/worklist/openapi.json", MemoryJobs())).json()["paths"]
    assert {"/jobs", "/jobs/{job_id}", "/jobs/events", "/models", "/models/{model}/inputs"} <= paths.keys()


async def test_the_further_inputs_of_a_model_are_in_the_description_of_the_api() -> None:
    schemas = (await ask("/worklist/openapi.json", MemoryJobs())).json()["components"]["schemas"]
    assert set(schemas["NeedView"]["properties"]) == {"name", "from", "required", "selection"}
    assert set(schemas["OfferView"]["properties"]) == {"name", "from", "required", "selection", "candidates", "note"}
