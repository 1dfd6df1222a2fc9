"""Jobs in PostgreSQL, and the fake that unit tests use, keep the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.chassis import database
from services.chassis.health import Health
from services.chassis.log import Log
from services.chassis.outbox import Outbox
from services.contracts.events import InputSeries, JobCancelled, JobInferred, LeftOut, Result
from services.worklist import handlers
from services.worklist.adapters import notifications
from services.worklist.adapters.postgres import PostgresJobs
from services.worklist.adapters.workitems import PostgresWorkItems
from services.worklist.errors import JobConflictError
from services.worklist.model import Job, JobQuery, JobState, Priority
from services.worklist.ports import Candidate, Decision, ItemDecision, Jobs
from services.worklist.turns import Rules
from services.worklist.ups import states
from services.worklist.ups.item import StepState
from services.worklist.ups.making import new_item
from services.worklist.ups.refusals import WorkItemRefusedError
from services.worklist.ups.table import WORKLIST
from tests.integration.ups_client import workitem
from tests.unit.worklist.samples import (
    SERIES,
    STUDY,
    FixedRule,
    MemoryArchive,
    MemoryJobs,
    MemoryJournal,
    card,
    job,
    later,
    settled,
)
from tests.unit.worklist.test_inputs import CT, PRIOR, Archive, ask, settle


class SilentOutbox(Outbox):
    """An outbox whose relay never runs: what it holds is counted."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool, None, Log("test"))  # type: ignore[arg-type]  # there is nobody to say it to


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def jobs(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Jobs]:
    if request.param == "memory":
        yield MemoryJobs()
        return
    async with AsyncExitStack() as parts:
        yield await postgres(database_url, parts)


async def postgres(url: str, parts: AsyncExitStack) -> PostgresJobs:
    await database.migrate(url, package="services.worklist", schema="worklist")
    pool = await parts.enter_async_context(database.connected(url, schema="worklist", size=8, health=Health()))
    return PostgresJobs(pool, SilentOutbox(pool))


async def keep(jobs: Jobs, *new: Job) -> Sequence[Job]:
    return (await jobs.decide_on_series(STUDY, SERIES, lambda _: Decision(new))).jobs


FULL = job(
    id="b" * 32,
    state=JobState.COMPLETED,
    step="store",
    done=2,
    total=2,
    reason_code="x",
    reason="ä'\"; DROP TABLE jobs",
    supersedes="a" * 32,
    attempt=3,
    trace_id="1" * 32,
    released_at=later(1),
    inferred_at=later(2),
    finished_at=later(3),
    results=(Result("SEG", "1", "2", "3", "4"), Result("SR", "1", "2", "5", "6")),
    series_digest="d2",
    revision=2,
    inputs=(InputSeries("prior", "9", "9.1", "d"), InputSeries("t2", "9", "9.2", "d")),
    chosen=("prior",),
    left_out=(LeftOut("GSPS", "not-carried", "a slide"),),
)


async def test_a_job_comes_back_as_it_was_kept(jobs: Jobs) -> None:
    kept = (await keep(jobs, FULL))[0]
    assert replace(kept, change=0, position=0) == FULL
    assert kept.change > 0
    assert kept.position > 0
    assert await jobs.get(FULL.id) == kept
    assert await jobs.get("f" * 32) is None


async def test_a_changed_job_stays_in_its_place_and_its_change_grows(jobs: Jobs) -> None:
    first, second = await keep(jobs, job(), FULL)
    decision = await jobs.decide_on_job(first.id, lambda found: Decision((replace(found, done=7, total=9),)))
    assert decision is not None
    assert (decision.jobs[0].done, decision.jobs[0].position) == (7, first.position)
    assert decision.jobs[0].change > second.change
    assert [found.id for found in await jobs.find(JobQuery())] == [second.id, first.id]


async def test_a_decision_sees_the_jobs_of_its_series_oldest_first(jobs: Jobs) -> None:
    await keep(jobs, job(), FULL, job(id="c" * 32, series_instance_uid="9"))
    seen: list[str] = []

    def decide(of_series: Sequence[Job]) -> Decision:
        seen.extend(found.id for found in of_series)
        return Decision()

    await jobs.decide_on_series(STUDY, SERIES, decide)
    assert seen == ["a" * 32, "b" * 32]


async def test_a_decision_that_is_refused_changes_nothing(jobs: Jobs) -> None:
    await keep(jobs, FULL)

    def decide(found: Job) -> Decision:
        raise JobConflictError("job-ended", "it has ended")

    with pytest.raises(JobConflictError):
        await jobs.decide_on_job(FULL.id, decide)
    assert await jobs.decide_on_job("f" * 32, decide) is None


async def test_jobs_are_found_by_what_is_asked(jobs: Jobs) -> None:
    await keep(jobs, job(), FULL, job(id="c" * 32, model="ct-bone"))
    for query, found in [
        (JobQuery(state=JobState.COMPLETED), "b"),
        (JobQuery(model="ct-bone"), "c"),
        (JobQuery(study_instance_uid="9"), ""),
        (JobQuery(series_instance_uid=SERIES, limit=2), "cb"),
        (JobQuery(job_id="a" * 32), "a"),
    ]:
        assert "".join(each.id[0] for each in await jobs.find(query)) == found


async def test_jobs_are_paged_and_found_by_their_change(database_url: str) -> None:
    async with AsyncExitStack() as parts:
        jobs = await postgres(database_url, parts)
        first, second = await keep(jobs, job(), FULL)
        assert await jobs.find(JobQuery(before=second.position)) == [first]
        assert await jobs.find(JobQuery(since=first.change)) == [second]


async def test_a_series_that_settles_in_many_processes_at_once_brings_one_job(
    database_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as parts:
        processes = [await postgres(database_url, parts) for _ in range(3)]
        await asyncio.gather(
            *(
                handlers.select(
                    settled(revision),
                    candidates=[Candidate(card(), FixedRule(True))],
                    archive=MemoryArchive(),
                    jobs=processes[number % 3],
                    journal=MemoryJournal(),
                )
                for number, revision in enumerate([1, 1, 1, 2, 2, 2, 1, 2, 1])
            )
        )
        found = await processes[0].find(JobQuery())
        newest = [each for each in found if each.revision == 2]
        assert len(newest) == 1
        assert len(found) <= 2
        assert all(each.state is JobState.CANCELLED for each in found if each.revision == 1)


async def test_what_is_kept_and_what_is_said_are_one_transaction(database_url: str) -> None:
    async with AsyncExitStack() as parts:
        jobs = await postgres(database_url, parts)
        with pytest.raises(AttributeError):  # the second fact is none: nothing of the decision holds
            await jobs.decide_on_series(
                STUDY,
                SERIES,
                lambda _: Decision((job(),), ((JobCancelled("a" * 32), None), (None, None))),  # type: ignore[arg-type]
            )
        assert await jobs.find(JobQuery()) == []
        pool = await parts.enter_async_context(
            database.connected(database_url, schema="worklist", size=1, health=Health())
        )
        assert await pool.fetchval("SELECT count(*) FROM outbox") == 0


async def test_of_many_jobs_each_gets_its_turn_once_and_never_more_than_may_at_a_time(database_url: str) -> None:
    rules = Rules(4, timedelta(hours=1))
    async with AsyncExitStack() as parts:
        processes = [await postgres(database_url, parts) for _ in range(2)]
        many = [
            job(id=f"{n:032x}", series_instance_uid=f"1.{n}", state=JobState.WAITING, admitted_at=None,
                sender="few" if n % 10 == 0 else "many", priority=Priority.HIGH if n == 57 else Priority.MEDIUM)
            for n in range(60)
        ]  # fmt: skip
        await keep(processes[0], *many)
        begun: list[str] = []
        while len(begun) < len(many):
            admitted = await asyncio.gather(*(handlers.admit(later(1), rules=rules, jobs=each) for each in processes))
            now = [each.id for batch in admitted for each in batch]
            in_work = await processes[0].find(JobQuery(state=JobState.REQUESTED))
            assert now
            assert len(in_work) <= rules.most
            begun += now
            for each in in_work[:2]:
                await handlers.hear(
                    JobInferred(each.id, "m", "1", "r", "d"), jobs=processes[1], journal=MemoryJournal()
                )
        assert len(set(begun)) == len(many)
        assert begun[0] == many[57].id
        assert {many[n].id for n in (0, 10, 20)} <= set(begun[:12])  # of those who have few, beside those of many


async def test_a_job_that_waits_for_a_person_takes_no_place(database_url: str) -> None:
    async with AsyncExitStack() as parts:
        jobs = await postgres(database_url, parts)
        await keep(jobs, job(step="quarantine"), job(id="c" * 32, series_instance_uid="9", state=JobState.WAITING))
        (admitted,) = await handlers.admit(later(1), rules=Rules(1, timedelta(hours=1)), jobs=jobs)
        assert (admitted.id, admitted.admitted_at) == ("c" * 32, later(1))


async def test_a_job_waits_for_its_hour_and_holds_up_no_shadow(jobs: Jobs) -> None:
    hour = datetime.now(UTC) + timedelta(hours=1)
    await keep(jobs, replace(FULL, shadow="2.0.0"), job(state=JobState.WAITING, not_before=hour, admitted_at=None))
    rules = Rules(4, timedelta(hours=1))
    assert not await handlers.admit(hour - timedelta(seconds=1), rules=rules, jobs=jobs)
    assert await jobs.shadow_waits()
    (admitted,) = await handlers.admit(hour, rules=rules, jobs=jobs)
    assert (admitted.id, admitted.not_before) == ("a" * 32, hour)


async def test_what_ended_long_ago_is_deleted_unless_somebody_has_locked_it(database_url: str) -> None:
    async with AsyncExitStack() as parts:
        await postgres(database_url, parts)
        pool = await parts.enter_async_context(
            database.connected(database_url, schema="worklist", size=2, health=Health())
        )
        items = PostgresWorkItems(pool, SilentOutbox(pool), dicomweb="", moved=lambda: None)
        made = {name: f"1.{place}" for place, name in enumerate(("running", "ended", "locked"))}
        for name, uid in made.items():
            item = new_item(uid, {tag: each for tag, each in workitem().items() if tag != "00081195"}, later(0))
            await items.create(item, ())
            await items.subscribe(uid, "WATCHER", (), locked=name == "locked")
            if name != "running":
                steps = states.canceled(item, [], "", later(1))
                await items.decide(uid, lambda _item, _job, steps=steps: ItemDecision(steps))  # type: ignore[misc]
        assert await items.sweep(1) == 0
        assert await items.sweep(-1) == 1
        assert (await items.get(made["locked"], lambda _: ())).state is StepState.CANCELED
        with pytest.raises(WorkItemRefusedError) as gone:
            await items.get(made["ended"], lambda _: ())
        assert gone.value.status == 410
        with pytest.raises(WorkItemRefusedError):  # the UID was used
            await items.create(new_item(made["ended"], workitem(), later(0)), ())
        await items.unsubscribe(made["locked"], "WATCHER", ())
        assert await items.sweep(-1) == 1


async def test_a_shadow_has_its_turn_when_no_job_is_unfinished_and_one_turn_alone(jobs: Jobs) -> None:
    done = replace(FULL, shadow="2.0.0")
    _, other = await keep(jobs, done, job())
    assert not await jobs.shadow_waits()
    assert await jobs.decide_on_shadow(lambda _: pytest.fail("a job is in work")) is None
    await jobs.decide_on_job(other.id, lambda found: Decision((replace(found, state=JobState.FAILED),)))
    assert await jobs.shadow_waits()
    asked = await jobs.decide_on_shadow(lambda found: Decision((replace(found, shadowed_at=later(9)),)))
    assert asked is not None and (asked.id, asked.shadow, asked.shadowed_at) == (done.id, "2.0.0", later(9))
    assert not await jobs.shadow_waits()
    assert await jobs.get(done.id) == asked


async def test_what_a_person_chose_stays_beside_what_the_rule_chooses_through_revisions(jobs: Jobs) -> None:
    archive = Archive()
    archive.put("1", "20240101", "P", **{"1_1": CT})
    archive.put("2", "20250101", "P", **{"2_1": CT})
    archive.put("4", "20260101", "P", **{"4_1": CT})
    await settle(jobs, archive, PRIOR, "4", "4.1")
    (chosen,) = await ask(jobs, archive, PRIOR, "4", inputs={"prior": "1.1"})
    archive.put("3", "20250601", "P", **{"3_1": CT})
    await settle(jobs, archive, PRIOR, "3", "3.1")  # a newer prior stops and replaces what the rule had chosen, alone
    assert (await jobs.get(chosen.id)) == chosen
    archive.digests["4.1"] = "more"
    await settle(jobs, archive, PRIOR, "4", "4.1", revision=2)
    await settle(jobs, archive, PRIOR, "4", "4.1", revision=2)
    archive.digests["1.1"] = "more, too"
    await settle(jobs, archive, PRIOR, "1", "1.1", revision=2)
    found = reversed(await jobs.find(JobQuery(series_instance_uid="4.1")))
    assert [
        (job.revision, job.inputs[0].series_instance_uid, job.chosen, job.run, job.state.ended) for job in found
    ] == [
        (1, "2.1", (), 0, True),
        (1, "1.1", ("prior",), 1, True),
        (1, "3.1", (), 2, True),
        (2, "1.1", ("prior",), 0, True),
        (2, "3.1", (), 1, False),
        (2, "1.1", ("prior",), 2, False),
    ]


async def test_who_subscribes_to_a_long_list_hears_of_all_of_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "_MOST_WAITING", 600)
    many = 1500
    async with AsyncExitStack() as parts:
        await postgres(database_url, parts)
        pool = await parts.enter_async_context(
            database.connected(database_url, schema="worklist", size=2, health=Health())
        )
        items = PostgresWorkItems(pool, SilentOutbox(pool), dicomweb="", moved=lambda: None)
        await items.create(new_item("1.1", workitem(t00081195=None), later(0)), ())
        await pool.execute(
            "INSERT INTO workitems (uid, state, transaction_uid, job_id, created_at, attributes, progress)"
            " SELECT '1.2.' || n, state, '', '', created_at, attributes, progress"
            " FROM workitems, generate_series(2, $1) AS n",
            many,
        )
        await items.subscribe("1.1", "WATCHER", (), locked=False)
        told, stopping = notifications.ItemNotifications(database_url, Log("test")), asyncio.Event()
        keeping = asyncio.create_task(told.keep(stopping))
        heard: set[str] = set()

        async def listen() -> None:
            async with told.listen("WATCHER") as messages:
                async for message in messages:
                    heard.add(message["00001000"]["Value"][0])
                    if len(heard) == many:
                        return

        listening = asyncio.create_task(listen())
        while not heard:  # until it is connected
            await items.subscribe("1.1", "WATCHER", (), locked=False)
            await asyncio.sleep(0.05)
        await items.subscribe_all(WORKLIST, "WATCHER", "", (), locked=True)
        await listening
        assert len(heard) == many
        locked = await pool.fetch("SELECT locked FROM subscriptions ORDER BY locked")
        assert [row["locked"] for row in locked].count(False) == 1, "what was said of the single one stays"
        stopping.set()
        await keeping
