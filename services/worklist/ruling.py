"""What a settled series brings: pure rules on the jobs that it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from services.contracts.card import ModelCard, PackageKind, RulePriority
from services.contracts.events import InputSeries, SeriesSettled
from services.worklist.model import Job, JobState, Line, Performer, Priority, cancelled, line_of, replaces
from services.worklist.windows import opens


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a settled series brings: new jobs, and unfinished ones of older revisions that are stopped."""

    requested: tuple[Job, ...] = ()
    superseded: tuple[Job, ...] = ()


def rule(
    settled: SeriesSettled,
    cards: Iterable[ModelCard],
    of_series: Sequence[Job],
    *,
    at: datetime,
    trace_id: str,
    trace_parent: str = "",
    new_id: Callable[[], str],
    inputs: Mapping[str, tuple[InputSeries, ...]] | None = None,
    chosen: Mapping[str, tuple[str, ...]] | None = None,
    shadows: Mapping[str, str] | None = None,
    zone: tzinfo | None = UTC,
) -> Ruling:
    """One job for each model that selects the series, unless it is there or a newer revision is.

    What a person chose and what the rules choose lie beside each other: neither stops or replaces the other.

    Args:
        cards: of the models that select it.
        of_series: every job of the series, oldest first.
        inputs: what a model takes beside the series, by its name.
        chosen: the names of those inputs whose series a person chose, by the model's name.
        shadows: by the name of a model, the version that runs beside the one in use.
        zone: of the site's clock, by which the schedules of cards go.
    """
    requested: list[Job] = []
    superseded: list[Job] = []
    for card in cards:
        jobs = [job for job in of_series if job.model == card.name]
        beside = (inputs or {}).get(card.name, ())
        by_hand = (chosen or {}).get(card.name, ())
        line = line_of(beside, by_hand)
        same = [job for job in jobs if (job.series_digest, job.model_version) == (settled.digest, card.version)]
        if any(job.revision > settled.revision for job in jobs) or any(_does(job, beside, line) for job in same):
            continue
        unfinished = [job for job in jobs if job.line == line and not job.state.ended]
        completed = [job for job in jobs if job.state is JobState.COMPLETED and replaces(job, beside, line)]
        superseded += [cancelled(job, "superseded", _why(job, settled), at) for job in unfinished]
        # A result that is there comes before one that may still come.
        replaced = (completed or unfinished)[-1:]
        requested.append(
            Job(
                id=new_id(),
                model=card.name,
                model_version=card.version,
                study_instance_uid=settled.study_instance_uid,
                series_instance_uid=settled.series_instance_uid,
                revision=settled.revision,
                series_digest=settled.digest,
                requested_at=at,
                supersedes=replaced[0].id if replaced else "",
                trace_id=trace_id,
                trace_parent=trace_parent,
                performer=performer_of(card),
                sender=settled.sender or settled.study_instance_uid,
                run=max((job.run + 1 for job in same), default=0),
                inputs=beside,
                chosen=by_hand,
                priority=_PRIORITIES[card.priority],
                not_before=opens(card.schedule, at, zone) if card.schedule else None,
                shadow=(shadows or {}).get(card.name, ""),
            )
        )
    return Ruling(tuple(requested), tuple(superseded))


_PRIORITIES: Final = {
    RulePriority.STAT: Priority.HIGH,
    RulePriority.ROUTINE: Priority.MEDIUM,
    RulePriority.LOW: Priority.LOW,
}


def _does(job: Job, inputs: tuple[InputSeries, ...], line: Line) -> bool:
    """Whether a job on the same series makes what is wanted; one of another line if it has not come to nothing."""
    lost = job.state in {JobState.FAILED, JobState.CANCELLED}
    return job.inputs == inputs and (job.line == line or not lost)


def _why(job: Job, settled: SeriesSettled) -> str:
    other = "another series for an input" if job.series_digest == settled.digest else "newer instances of the series"
    return f"{other} made a new job"


def performer_of(card: ModelCard) -> Performer:
    """Who runs a model: one of the kind `external` a performer outside takes (pull), unless its card names a server."""
    outside = card.kind is PackageKind.EXTERNAL and card.source.get("server") is None
    return Performer.OUTSIDE if outside else Performer.MESH
