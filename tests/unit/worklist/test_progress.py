"""Progress is gathered before it is kept."""

from __future__ import annotations

import asyncio

from services.contracts.events import JobProgressed
from services.worklist.progress import Progress
from services.worklist.subscriptions import hear_progress
from tests.unit.worklist.samples import MemoryJobs, MemoryJournal, job


async def test_much_progress_changes_the_job_few_times_and_ends_with_the_newest() -> None:
    jobs, stopping = MemoryJobs(job()), asyncio.Event()
    before = jobs.jobs["a" * 32].change
    progress = Progress(jobs=jobs, journal=MemoryJournal())
    hear = hear_progress(progress)
    keeping = asyncio.create_task(progress.keep(stopping))
    for done in range(1, 101):
        await hear(JobProgressed("a" * 32, "deidentify", done, 100).to_bytes())
    while jobs.jobs["a" * 32].done < 100:
        await asyncio.sleep(0)
    stopping.set()
    await keeping
    assert jobs.jobs["a" * 32].change - before <= 2


async def test_what_is_no_progress_is_passed_over() -> None:
    await hear_progress(Progress(jobs=MemoryJobs(), journal=MemoryJournal()))(b"\xff\xff")
