"""What persons chose for the further inputs of a model: it stays, and is made again as they chose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from services.chassis.faults import PermanentFault
from services.contracts.events import SeriesSettled
from services.worklist.errors import UnfitInputError
from services.worklist.inputs import Chosen, choose, selects
from services.worklist.model import Job, JobQuery, JobState, Line
from services.worklist.ports import Candidate, Jobs, Journal, SeriesArchive
from services.worklist.ups.making import Input


async def again(
    candidate: Candidate,
    settled: SeriesSettled,
    main: Input,
    *,
    jobs: Jobs,
    archive: SeriesArchive,
    journal: Journal,
) -> Sequence[Chosen]:
    """What a model takes as persons chose it, where the series `main`, or what lies beside it, has grown since.

    What a person cancelled is not made again, nor is a choice that cannot be taken any more.
    """
    query = JobQuery(main.study_instance_uid, main.series_instance_uid, candidate.card.name)
    newest: dict[Line, Job] = {}
    for job in await jobs.find(query):
        if job.line:
            newest.setdefault(job.line, job)
    found = []
    for line, job in newest.items():
        if job.state is JobState.CANCELLED and job.reason_code == "cancelled":
            continue
        try:
            chosen = await choose(candidate, main, archive=archive, journal=journal, named=dict(line))
        except UnfitInputError as fault:
            journal.warning("choice.left", model=candidate.card.name, job_id=job.id, code=fault.code)
            continue
        grown = (job.series_digest, job.inputs) != (settled.digest, chosen.series)
        if grown and not chosen.missing:
            found.append(chosen)
    return found


async def beside(
    settled: SeriesSettled,
    candidates: Sequence[Candidate],
    *,
    jobs: Jobs,
    archive: SeriesArchive,
    journal: Journal,
) -> AsyncIterator[tuple[Candidate, SeriesSettled, Input, Chosen]]:
    """What persons chose the series for that has settled: each leading series as if it had settled, and what it takes.

    Of the leading series those that the model's rule selects, as for their own late instances.
    """
    by_name = {candidate.card.name: candidate for candidate in candidates}
    mains = dict.fromkeys(
        (job.model, job.study_instance_uid, job.series_instance_uid)
        for job in await jobs.find(JobQuery(beside=settled.series_instance_uid))
        if job.model in by_name and settled.series_instance_uid in dict(job.line).values()
    )
    for model, study, uid in mains:
        candidate = by_name[model]
        try:
            series = await archive.describe(study, uid)
        except PermanentFault:  # it is gone
            continue
        if not series.revision or not selects(candidate.rule, series, model, journal):
            continue
        main = Input(study, uid, series.attributes, await archive.references(study, uid))
        of_main = replace(
            settled,
            study_instance_uid=study,
            series_instance_uid=uid,
            revision=series.revision,
            digest=series.digest,
            instances=series.instances,
        )
        for chosen in await again(candidate, of_main, main, jobs=jobs, archive=archive, journal=journal):
            yield candidate, of_main, main, chosen
