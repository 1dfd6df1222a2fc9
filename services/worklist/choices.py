"""What persons chose for the further inputs of a model: it stays, and is made again as they chose."""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts.events import SeriesSettled
from services.worklist.errors import UnfitInputError
from services.worklist.inputs import Chosen, choose
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
    """What a model takes, as persons chose it for an older revision of the series `main`.

    What a person cancelled is not made again, nor is a choice that cannot be taken any more.
    """
    query = JobQuery(main.study_instance_uid, main.series_instance_uid, candidate.card.name)
    newest: dict[Line, Job] = {}
    for job in await jobs.find(query):
        if job.line:
            newest.setdefault(job.line, job)
    found = []
    for line, job in newest.items():
        stopped = job.state is JobState.CANCELLED and job.reason_code == "cancelled"
        if job.series_digest == settled.digest or stopped:
            continue
        try:
            chosen = await choose(candidate, main, archive=archive, journal=journal, named=dict(line))
        except UnfitInputError as fault:
            journal.warning("choice.left", model=candidate.card.name, job_id=job.id, code=fault.code)
            continue
        if not chosen.missing:
            found.append(chosen)
    return found
