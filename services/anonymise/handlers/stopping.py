"""A job was cancelled: let whoever works on it behind the airlock know, who cannot hear it for themselves."""

from __future__ import annotations

from services.anonymise.ports import Releases, WorkStore
from services.contracts.events import JobCancelled, JobStopped
from services.contracts.work import stopped_key


async def stop(cancelled: JobCancelled, *, work: WorkStore, releases: Releases) -> bool:
    """Leave word in the work store, for who comes to the job later; and say it, if the job was let out.

    In this order: what is let out meanwhile finds the word there.

    Returns:
        Whether it was said.

    Raises:
        PassingFault: the work store or the database does not answer.
    """
    await work.write(stopped_key(cancelled.job_id, cancelled.attempt), b"")
    if await releases.attempt(cancelled.job_id) < cancelled.attempt:
        return False
    stopped = JobStopped(cancelled.job_id, cancelled.attempt)
    await releases.say(((stopped, f"{cancelled.job_id}.{cancelled.attempt}.stopped"),))
    return True
