"""The mesh as a client sees it, through the edge: jobs, their events, and stored instances."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import httpx

from services.launcher.errors import EdgeError


class JobState(StrEnum):
    """Where a job stands, in worklist's words."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    REQUESTED = "requested"
    RELEASED = "released"
    INFERRED = "inferred"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Result:
    """One instance that a job has made."""

    kind: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Beside:
    """A series that a job takes beside the one that it is about; `chosen` by a person, or else by the card's rule."""

    name: str
    study_instance_uid: str
    series_instance_uid: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A kind of object that was to be made beside the results, and why it could not be."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as `GET /jobs` tells it."""

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
    trace_id: str
    requested_at: str
    finished_at: str
    results: tuple[Result, ...]
    inputs: tuple[Beside, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """A job of its JSON.

        Raises:
            EdgeError: it is none.
        """
        try:
            results = tuple(
                Result(item["kind"], item["study_instance_uid"], item["series_instance_uid"], item["sop_instance_uid"])
                for item in fields.get("results") or ()
            )
            return cls(
                id=str(fields["id"]),
                model=str(fields["model"]),
                model_version=str(fields["model_version"]),
                state=JobState(fields["state"]),
                step=fields.get("step") or "",
                done=int(fields.get("done") or 0),
                total=int(fields.get("total") or 0),
                reason_code=fields.get("reason_code") or "",
                reason=fields.get("reason") or "",
                study_instance_uid=fields.get("study_instance_uid") or "",
                series_instance_uid=fields.get("series_instance_uid") or "",
                revision=int(fields.get("revision") or 0),
                trace_id=fields.get("trace_id") or "",
                requested_at=fields.get("requested_at") or "",
                finished_at=fields.get("finished_at") or "",
                results=results,
                inputs=tuple(
                    Beside(item["name"], item["study_instance_uid"], item["series_instance_uid"], bool(item["chosen"]))
                    for item in fields.get("inputs") or ()
                ),
                left_out=tuple(LeftOut(item["kind"], item["reason"]) for item in fields.get("left_out") or ()),
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            raise EdgeError("/jobs answered something that is no job") from None


class Edge:
    """A client of one edge."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30.0)

    def __enter__(self) -> Self:
        """Opens it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes its connections."""
        self._client.close()

    def jobs(self, **filters: str) -> list[Job]:
        """Jobs, newest first; filters are worklist's (`study`, `series`, `state`, `limit`)."""
        return [Job.read(item) for item in self._get("/jobs", params=filters).json()["jobs"]]

    def models(self) -> list[str]:
        """The names of the models in use."""
        return [str(item["name"]) for item in self._get("/models").json()["models"]]

    def job(self, job_id: str) -> Job | None:
        """A job, or None when there is none of this id."""
        answer = self._ask("/jobs/" + job_id)
        return None if answer.status_code == httpx.codes.NOT_FOUND else Job.read(_good(answer).json())

    def run(self, wish: Mapping[str, Any]) -> list[Job]:
        """Ask for a run: the jobs that do it.

        Raises:
            EdgeError: the mesh refuses; the error says why.
        """
        try:
            answer = self._client.post("/jobs", json=dict(wish))
        except httpx.TransportError:
            raise EdgeError(f"the edge at {self._client.base_url} does not answer; see ./plexus status") from None
        return [Job.read(item) for item in _granted(answer).json()["jobs"]]

    def offered(self, job: Job) -> dict[str, str]:
        """What the series that fit beside a job's are, in words, by their UIDs; none where that is not known now."""
        answer = self._ask(
            f"/models/{job.model}/inputs",
            params={"study": job.study_instance_uid, "series": job.series_instance_uid},
        )
        if answer.status_code != httpx.codes.OK:
            return {}
        return {
            str(one["series_instance_uid"]): _in_words(one)
            for wanted in answer.json()["inputs"]
            for one in wanted["candidates"]
        }

    def cancel(self, job_id: str) -> Job:
        """Stop a job.

        Raises:
            EdgeError: there is none, or it has ended.
        """
        return Job.read(_granted(self._client.post(f"/jobs/{job_id}/cancel")).json())

    def address_of(self, result: Result) -> str:
        """Where a result is read."""
        return f"{str(self._client.base_url).rstrip('/')}{_path(result)}"

    def follow(self, study_instance_uid: str, *, silence_seconds: float) -> Iterator[Job]:
        """Jobs of a study as they change (server-sent events).

        Ends when nothing came for `silence_seconds`, or when the connection ends: look with `jobs`, and follow again.
        """
        timeout = httpx.Timeout(10.0, read=silence_seconds)
        try:
            with self._client.stream(
                "GET", "/jobs/events", params={"study": study_instance_uid}, timeout=timeout
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise EdgeError(f"/jobs/events answered {answer.status_code}")
                for line in answer.iter_lines():
                    if line.startswith("data:"):
                        yield Job.read(json.loads(line.removeprefix("data:")))
        except httpx.TransportError:
            return

    def instance(self, result: Result) -> bytes:
        """An instance as a DICOM file (PS3.18 10.4)."""
        answer = self._get(_path(result), headers={"Accept": 'multipart/related; type="application/dicom"'})
        return first_part(answer.content, answer.headers.get("Content-Type", ""))

    def _get(self, path: str, **options: Any) -> httpx.Response:
        return _good(self._ask(path, **options))

    def _ask(self, path: str, **options: Any) -> httpx.Response:
        try:
            return self._client.get(path, **options)
        except httpx.TransportError:
            raise EdgeError(f"the edge at {self._client.base_url} does not answer; see ./plexus status") from None


def _in_words(series: Mapping[str, Any]) -> str:
    """A series that fits an input: its day, its description, its size."""
    described = series["series_description"] or series["modality"]
    return ", ".join(filter(None, (series["study_date"], described, f"{series['instances']} images")))


def _path(result: Result) -> str:
    return (
        f"/dicom-web/studies/{result.study_instance_uid}/series/{result.series_instance_uid}"
        f"/instances/{result.sop_instance_uid}"
    )


def first_part(body: bytes, content_type: str) -> bytes:
    """The content of the first part of a multipart body (RFC 2046 5.1).

    Raises:
        EdgeError: it has none.
    """
    parameters = dict(item.strip().split("=", 1) for item in content_type.split(";")[1:] if "=" in item)
    boundary = parameters.get("boundary", "").strip('"').encode()
    start = body.find(b"--" + boundary)
    head_end = body.find(b"\r\n\r\n", start)
    end = body.find(b"\r\n--" + boundary, head_end)
    if not boundary or min(start, head_end, end) < 0:
        raise EdgeError("the archive's answer is not multipart")
    return body[head_end + 4 : end]


def _granted(answer: httpx.Response) -> httpx.Response:
    """What was done; a refusal's own words are for people (RFC 9457)."""
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        raise EdgeError(str(answer.json().get("detail")))
    return _good(answer)


def _good(answer: httpx.Response) -> httpx.Response:
    if answer.status_code != httpx.codes.OK:
        raise EdgeError(f"{answer.url.path.split('/')[1]} answered {answer.status_code}")
    return answer
