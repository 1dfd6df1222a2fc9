"""Jobs, cards and fakes for the worklist's tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.contracts.card import ModelCard
from services.contracts.events import Event, SeriesSettled
from services.selection.errors import RuleFailedError
from services.worklist.model import Job, JobQuery, JobState
from services.worklist.ports import Attributes, Candidate, Decision, Facts, Series
from services.worklist.turns import InWork, Waiting
from services.worklist.ups.item import WorkItem

STUDY, SERIES = "1.2.3", "1.2.3.4"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """A time after noon."""
    return NOON + timedelta(seconds=seconds)


def job(**fields: Any) -> Job:
    """A requested job, but for `fields`."""
    values: dict[str, Any] = {
        "id": "a" * 32,
        "model": "ct-lung",
        "model_version": "1.0.0",
        "study_instance_uid": STUDY,
        "series_instance_uid": SERIES,
        "revision": 1,
        "series_digest": "d1",
        "requested_at": NOON,
        "state": JobState.REQUESTED,
        "admitted_at": NOON,
    }
    return Job(**values | fields)


def card(name: str = "ct-lung", version: str = "1.0.0", selection: str = "true") -> ModelCard:
    """A model card."""
    return ModelCard.from_mapping(
        {
            "name": name,
            "version": version,
            "title": f"The model {name}",
            "author": "Plexus",
            "licence": "Apache-2.0",
            "intended_use": "Tests.",
            "task": "volume-segmentation",
            "selection": selection,
            "labels": [
                {
                    "value": 1,
                    "name": "Left lung",
                    "category": {"code": "123037004", "scheme": "SCT", "meaning": "Anatomical structure"},
                    "type": {"code": "44029006", "scheme": "SCT", "meaning": "Left lung"},
                    "colour": [1, 2, 3],
                }
            ],
        }
    )


def settled(revision: int = 1, digest: str = "", instances: int = 100) -> SeriesSettled:
    """The series has settled."""
    return SeriesSettled(STUDY, SERIES, revision, digest or f"d{revision}", instances)


class FixedRule:
    """A rule whose answer is known; `None` stands for a rule that fails."""

    def __init__(self, answer: bool | None) -> None:
        self.answer = answer

    def selects(self, attributes: Attributes, instances: int) -> bool:
        if self.answer is None:
            raise RuleFailedError("TypeError")
        return self.answer


class MemoryArchive:
    """An archive with one series."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        }

    async def describe(self, study_instance_uid: str, series_instance_uid: str) -> Series:
        return Series(self.attributes, "d1", 100, revision=1)

    async def references(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[tuple[str, str]]:
        return [("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5")]

    async def series_of(self, study_instance_uid: str) -> Sequence[str]:
        return [SERIES, "1.2.3.5"]

    async def studies_of(self, patient_id: str) -> Sequence[Attributes]:
        return []

    async def study_of(self, series_instance_uid: str) -> str:
        return STUDY


class MemoryJobs:
    """Jobs in memory, numbered and said as PostgreSQL's are."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs: dict[str, Job] = {}
        self.said: list[tuple[Event, str | None]] = []
        self.items: list[WorkItem] = []
        self._changes = 0
        self._keep(Decision(jobs))

    async def decide_on_series(
        self, study_instance_uid: str, series_instance_uid: str, decide: Callable[[Sequence[Job]], Decision]
    ) -> Decision:
        of_series = [
            job
            for job in self.jobs.values()
            if (job.study_instance_uid, job.series_instance_uid) == (study_instance_uid, series_instance_uid)
        ]
        return self._keep(decide(of_series))

    async def decide_on_job(self, job_id: str, decide: Callable[[Job], Decision]) -> Decision | None:
        return self._keep(decide(self.jobs[job_id])) if job_id in self.jobs else None

    async def decide_on_waiting(
        self,
        at: datetime,
        most: int,
        pick: Callable[[Sequence[Waiting], InWork], Sequence[str]],
        decide: Callable[[Job], Decision],
    ) -> Sequence[Job]:
        waiting = [
            Waiting(job.id, job.priority, job.sender, job.requested_at, job.position)
            for job in self.jobs.values()
            if job.state is JobState.WAITING and (job.not_before is None or job.not_before <= at)
        ]
        in_work = Counter((job.sender, job.priority) for job in self.jobs.values() if job.state is JobState.REQUESTED)
        return [job for each in pick(waiting, in_work) for job in self._keep(decide(self.jobs[each])).jobs]

    async def decide_on_overdue(self, at: datetime, decide: Callable[[Job], Decision]) -> Sequence[Job]:
        late = [job for job in self.jobs.values() if job.deadline and job.deadline < at and not job.state.ended]
        return [job for each in late for job in self._keep(decide(each)).jobs]

    async def shadow_waits(self) -> bool:
        return self._shadow() is not None

    async def decide_on_shadow(self, decide: Callable[[Job], Decision]) -> Job | None:
        waiting = self._shadow()
        return self._keep(decide(waiting)).jobs[0] if waiting else None

    def _shadow(self) -> Job | None:
        if not all(job.state.ended or job.not_before for job in self.jobs.values()):
            return None
        waiting = (job for job in self.jobs.values() if job.shadow and not job.shadowed_at)
        return next((job for job in waiting if job.state is JobState.COMPLETED), None)

    async def get(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)

    async def find(self, query: JobQuery) -> Sequence[Job]:
        return [job for job in reversed(self.jobs.values()) if query.matches(job)][: query.limit]

    async def record(self, facts: Facts) -> None:
        self.said += facts

    def _keep(self, decision: Decision) -> Decision:
        kept = []
        for job in decision.jobs:
            self._changes += 1
            kept.append(replace(job, change=self._changes, position=job.position or len(self.jobs) + 1))
            self.jobs[job.id] = kept[-1]
        self.said += decision.facts
        self.items += decision.items
        return replace(decision, jobs=tuple(kept))


class MemoryJournal:
    """The log's lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


class FixedCandidates:
    """A catalogue in which these models are in use; their rules hold for everything, and those of `but` for nothing."""

    def __init__(self, *cards: ModelCard, but: Sequence[ModelCard] = ()) -> None:
        self._candidates = [Candidate(card, FixedRule(True)) for card in cards]
        self._candidates += [Candidate(card, FixedRule(False)) for card in but]

    async def candidates(self) -> Sequence[Candidate]:
        return self._candidates
