"""The worklist by HTTP: jobs, and their changes as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, BaseModel, Field
from starlette.types import Message

from services.chassis import http
from services.chassis.principal import Principal
from services.worklist import handlers, runs
from services.worklist.errors import NoSuchJobError
from services.worklist.model import CHANGES_IN_FLIGHT, Job, JobQuery, JobState, Performer, Priority
from services.worklist.ports import Catalogue, Changes, Jobs, Journal, SeriesArchive

_UID = r"^[0-9.]{1,64}$"
Uid = Annotated[str, Query(pattern=_UID)]
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Caller = Annotated[Principal, Depends(http.caller)]

_PRESENT = 500
"""How many jobs a new stream of events starts with, the newest."""


_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_MOST_BYTES = 64 * 1024


class _Small(APIRoute):
    """A route that takes no more of a body than a wish can have."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the framework's, on a request whose body is counted as it comes."""
        handle = super().get_route_handler()

        async def handle_small(request: Request) -> Response:
            taken = 0

            async def receive() -> Message:
                nonlocal taken
                message = await request.receive()
                taken += len(message.get("body", b""))
                if taken > _MOST_BYTES:
                    raise HTTPException(413, f"the body has more than {_MOST_BYTES} bytes")
                return message

            return await handle(Request(request.scope, receive))

        return handle_small


class ResultView(BaseModel):
    """A DICOM instance that a job made."""

    kind: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


class LeftOutView(BaseModel):
    """A kind of object that was to be made beside the results, and why it could not be."""

    kind: str
    reason_code: str
    reason: str


class InputView(BaseModel):
    """A series that a job takes beside the one that it is about; `chosen` by a person, or else by the card's rule."""

    name: str
    study_instance_uid: str
    series_instance_uid: str
    chosen: bool


class JobView(BaseModel):
    """A job as the outside sees it; `chosen` are the inputs for which a person named a series, or wanted none."""

    id: str
    model: str
    model_version: str
    state: JobState
    step: str
    done: int
    total: int
    reason_code: str
    reason: str
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    supersedes: str
    attempt: int
    trace_id: str
    requested_at: datetime
    released_at: datetime | None
    inferred_at: datetime | None
    finished_at: datetime | None
    results: list[ResultView]
    left_out: list[LeftOutView]
    priority: Priority
    performer: Performer
    deadline: datetime | None
    not_before: datetime | None
    admitted_at: datetime | None
    inputs: list[InputView]
    chosen: list[str]
    shadow: str
    shadowed_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> JobView:
        """The view of a job."""
        inputs = [asdict(one) | {"chosen": one.name in job.chosen} for one in job.inputs]
        return cls.model_validate(asdict(job) | {"inputs": inputs})


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobView]


class Wanted(BaseModel):
    """A run that is asked for; without a series, of every series of the study that the model's rule selects."""

    model: Annotated[str, Field(max_length=64)]
    study: Annotated[str, Field(pattern=_UID)]
    series: Annotated[str, Field(pattern=rf"{_UID}|^$")] = ""
    priority: Priority = Priority.MEDIUM
    deadline: Annotated[AwareDatetime, Field(ge=_EARLIEST, le=_LATEST)] | None = None
    force: bool = False
    inputs: Annotated[
        dict[Annotated[str, Field(max_length=32)], Annotated[str, Field(pattern=rf"{_UID}|^$")]], Field(max_length=7)
    ] = {}
    """Series by the names of the model's further inputs, where its rules are not to choose; "" for none."""


def router(
    *,
    jobs: Jobs,
    changes: Changes,
    catalogue: Catalogue,
    archive: SeriesArchive,
    journal: Journal,
    dicomweb: str,
) -> APIRouter:
    """The routes; `dicomweb` is where work items say that series are read."""
    routes = APIRouter(route_class=_Small)

    @routes.post("/jobs")
    async def run_model(wanted: Wanted, principal: Caller) -> JobList:
        """Ask for a run: the jobs that do it, which may be there already (`force` makes it again)."""
        wish = runs.Wish(
            wanted.model, wanted.study, wanted.series, wanted.priority, wanted.deadline, wanted.force, wanted.inputs
        )
        asked = await runs.ask(
            wish,
            principal=principal,
            candidates=await catalogue.candidates(),
            archive=archive,
            jobs=jobs,
            journal=journal,
            dicomweb=dicomweb,
        )
        return JobList(jobs=[JobView.of(job) for job in asked])

    @routes.get("/jobs")
    async def list_jobs(
        *,
        response: Response,
        study: Uid = "",
        series: Uid = "",
        state: JobState | None = None,
        model: Annotated[str, Query(pattern=r"^[a-z0-9-]{0,64}$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    ) -> JobList:
        """Jobs, newest first. Where there are more, a `Link` header with `rel="next"` leads to them."""
        query = JobQuery(study, series, model, state, before=before, limit=limit)
        found = await jobs.find(query)
        if len(found) == limit:
            asked = {"study": study, "series": series, "state": state, "model": model, "limit": limit}
            again = urlencode({name: value for name, value in asked.items() if value} | {"before": found[-1].position})
            response.headers["Link"] = f'<?{again}>; rel="next"'
        return JobList(jobs=[JobView.of(job) for job in found])

    @routes.get("/jobs/events", response_class=StreamingResponse)
    async def job_events(
        study: Uid = "",
        job: Annotated[str, Query(pattern=r"^[0-9a-f]{32}$")] = "",
        last_event_id: Annotated[int, Header(ge=0, lt=2**63)] = 0,
    ) -> StreamingResponse:
        """Server-sent events: the jobs as they are, then each as it changes. An event's data is the whole job."""
        query = JobQuery(study, job_id=job, since=max(last_event_id - CHANGES_IN_FLIGHT, 0), limit=_PRESENT)
        return StreamingResponse(
            _events(query, jobs, changes),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @routes.get("/jobs/{job_id}")
    async def get_job(job_id: JobId) -> JobView:
        """A job."""
        found = await jobs.get(job_id)
        if found is None:
            raise NoSuchJobError
        return JobView.of(found)

    @routes.post("/jobs/{job_id}/retry")
    async def retry_job(job_id: JobId, principal: Caller) -> JobView:
        """A failed job goes again."""
        candidates = await catalogue.candidates()
        return JobView.of(await handlers.retry(job_id, principal=principal, jobs=jobs, candidates=candidates))

    @routes.post("/jobs/{job_id}/cancel")
    async def cancel_job(job_id: JobId, principal: Caller) -> JobView:
        """A job that has not ended is stopped."""
        return JobView.of(await handlers.cancel(job_id, principal=principal, jobs=jobs))

    return routes


async def _events(query: JobQuery, jobs: Jobs, changes: Changes) -> AsyncIterator[str]:
    """The stream's text. It watches before it looks, so that no change falls between; what came twice is sent once."""
    sent: dict[str, int] = {}
    async with changes.watch() as batches:
        yield "retry: 2000\n\n"
        present = await jobs.find(query)
        for job in sorted(present, key=lambda job: job.change):
            sent[job.id] = job.change
            yield _event(job)
        async for batch in batches:
            if not batch:
                yield ": nothing new\n\n"
            for job in batch:
                if query.matches(job) and job.change > sent.get(job.id, 0):
                    sent[job.id] = job.change
                    yield _event(job)


def _event(job: Job) -> str:
    return f"event: job\nid: {job.change}\ndata: {JobView.of(job).model_dump_json()}\n\n"
