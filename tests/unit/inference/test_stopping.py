"""A job that somebody has cancelled stops, in hand or before it begins."""

from __future__ import annotations

import asyncio

import pytest

from services.contracts.events import JobReleased, JobStopped
from services.contracts.work import manifest_key, stopped_key
from services.inference.stopping import Stopping

EVENT = JobReleased("job-1", "ct-lung", "1.0.0", manifest_key("job-1"), 3, 2)


class Work:
    """Work that lasts until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()
        self.ended = ""

    async def __call__(self, _: JobReleased) -> None:
        self.begun.set()
        try:
            await self.let_go.wait()
            self.ended = "done"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


class Words:
    """The words in the work store."""

    def __init__(self, *keys: str) -> None:
        self.keys = set(keys)

    async def has(self, key: str) -> bool:
        return key in self.keys


async def test_what_is_in_hand_is_cancelled() -> None:
    stopping, work = Stopping(Words().has), Work()
    running = asyncio.create_task(stopping.run(EVENT, work))
    await work.begun.wait()
    await stopping.hear(JobStopped("job-1", 2).to_bytes())
    assert await running is False
    assert work.ended == "cancelled"


async def test_what_was_stopped_before_is_not_begun() -> None:
    work = Work()
    assert await Stopping(Words(stopped_key("job-1", 2)).has).run(EVENT, work) is False
    assert not work.begun.is_set()


@pytest.mark.parametrize("data", [JobStopped("job-2", 2).to_bytes(), JobStopped("job-1", 1).to_bytes(), b"\xff\xff"])
async def test_what_is_said_of_another_job_or_an_earlier_attempt_stops_nothing(data: bytes) -> None:
    stopping, work = Stopping(Words(stopped_key("job-1", 1)).has), Work()
    running = asyncio.create_task(stopping.run(EVENT, work))
    await work.begun.wait()
    await stopping.hear(data)
    work.let_go.set()
    assert await running is True
    await stopping.hear(JobStopped("job-1", 2).to_bytes())  # late: nothing is in hand


async def test_a_process_that_ends_is_no_stopped_job() -> None:
    work = Work()
    running = asyncio.create_task(Stopping(Words().has).run(EVENT, work))
    await work.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.ended == "cancelled"


async def test_a_fault_of_the_work_is_its_own() -> None:
    async def fail(_: JobReleased) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await Stopping(Words().has).run(EVENT, fail)
