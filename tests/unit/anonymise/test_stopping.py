"""A cancelled job is stopped behind the airlock."""

from __future__ import annotations

from services.anonymise.handlers.stopping import stop
from services.contracts.events import JobCancelled, JobStopped
from tests.unit.anonymise.fakes import FakeReleases, FakeWork


class Released(FakeReleases):
    """Of one job, the second attempt was let out."""

    async def attempt(self, job_id: str) -> int:
        return 2 if job_id == "job-1" else 0


async def test_a_job_that_was_let_out_is_said_to_be_stopped_by_its_id_alone() -> None:
    releases, work = Released(), FakeWork()
    assert await stop(JobCancelled("job-1", 2), work=work, releases=releases)
    assert releases.said == [(JobStopped("job-1", 2), "job-1.2.stopped")]
    assert work.files == {"jobs/job-1/stopped-2": b""}


async def test_of_one_that_was_not_let_out_word_is_left_and_nothing_said() -> None:
    for cancelled in (JobCancelled("job-2", 1), JobCancelled("job-1", 3)):
        releases, work = Released(), FakeWork()
        assert not await stop(cancelled, work=work, releases=releases)
        assert releases.said == []
        assert len(work.files) == 1
