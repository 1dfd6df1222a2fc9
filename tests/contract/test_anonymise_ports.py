"""The fakes of anonymise's ports and their real adapters keep the same contract."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio

from services.anonymise.adapters.archive import GrpcArchive
from services.anonymise.adapters.postgres import PostgresReleases
from services.anonymise.adapters.work_store import ObstoreWork
from services.anonymise.errors import SeriesChangedError
from services.anonymise.model import Listed, Original, Pseudonym, Release, ReleasedInput, UidKind
from services.anonymise.ports import Releases, SourceArchive, WorkStore
from services.chassis import database, rpc
from services.chassis.bus import connected
from services.chassis.faults import PassingFault
from services.chassis.health import Health
from services.chassis.log import Log
from services.chassis.outbox import Outbox
from services.contracts import calls, subjects
from services.contracts.events import Event, JobReleased
from services.launcher.settings import free_port
from tests.unit.anonymise.fakes import FakeArchive, FakeReleases, FakeWork

FILES = {"1.2.3.1": b"a" * 700_000, "1.2.3.2": b"b"}
RELEASE = Release(
    job_id="job-1",
    attempt=1,
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.4",
    revision=3,
    series_digest="d1",
    supersedes="job-0",
    model="ct-lung",
    model_version="1.0.0",
    input="jobs/job-1/input/manifest.json",
    instances=1,
    profile="basic 2026c",
    key_id="0011223344556677",
)
UIDS = {
    "1.2.3": Pseudonym("2.25.1", UidKind.STUDY),
    "1.2.3.1": Pseudonym("2.25.2", UidKind.INSTANCE),
    "1.2.3.9": Pseudonym("2.25.3", UidKind.OTHER),
}

REPORTS = {"2.25.2": "00100010 Z table-e1-1"}


def said(release: Release) -> tuple[tuple[Event, str | None], ...]:
    event = JobReleased(release.job_id, release.model, release.model_version, release.input, 1, release.attempt)
    return ((event, f"{release.job_id}.{release.attempt}.released"),)


class PostgresWorld:
    """The real releases, and what lies in their outbox: nobody relays it here."""

    def __init__(self, releases: PostgresReleases, pool: object) -> None:
        self.releases: Releases = releases
        self._pool = pool

    async def subjects(self) -> list[str]:
        rows = await self._pool.fetch("SELECT subject FROM outbox ORDER BY position")  # type: ignore[attr-defined]
        return [row["subject"] for row in rows]


class FakeWorld:
    def __init__(self) -> None:
        fake = FakeReleases()
        self.releases: Releases = fake
        self._fake = fake

    async def subjects(self) -> list[str]:
        return [event.subject for event, _ in self._fake.said]


@pytest_asyncio.fixture(params=["fake", "postgres"])
async def world(
    request: pytest.FixtureRequest, database_url: str, nats_url: str
) -> AsyncIterator[FakeWorld | PostgresWorld]:
    if request.param == "fake":
        yield FakeWorld()
        return
    log, health = Log("anonymise"), Health()
    await database.migrate(database_url, package="services.anonymise", schema="anonymise")
    async with AsyncExitStack() as parts:
        pool = await parts.enter_async_context(
            database.connected(database_url, schema="anonymise", size=4, health=health)
        )
        bus = await parts.enter_async_context(
            connected(
                nats_url, service="anonymise", log=log, health=health, ack_wait_seconds=10, dead_subject=subjects.DEAD
            )
        )
        yield PostgresWorld(PostgresReleases(pool, Outbox(pool, bus, log)), pool)


async def test_a_release_is_kept_with_its_way_back_and_its_facts(world: FakeWorld | PostgresWorld) -> None:
    assert await world.releases.attempt("job-1") == 0
    assert await world.releases.original("job-1") is None
    await world.releases.keep(RELEASE, UIDS, REPORTS, said(RELEASE))
    assert await world.releases.attempt("job-1") == 1
    assert await world.releases.original("job-1") == Original("1.2.3", "1.2.4", 3, "job-0", {"2.25.2": "1.2.3.1"})
    assert await world.releases.reports("job-1") == REPORTS
    assert await world.releases.pseudonyms("job-1") == {pseudonym.uid: original for original, pseudonym in UIDS.items()}
    assert await world.releases.pseudonyms("job-9") == {}
    assert await world.subjects() == [subjects.JOB_RELEASED]


async def test_a_release_that_is_kept_twice_is_said_once(world: FakeWorld | PostgresWorld) -> None:
    await asyncio.gather(*(world.releases.keep(RELEASE, UIDS, REPORTS, said(RELEASE)) for _ in range(3)))
    assert await world.subjects() == [subjects.JOB_RELEASED]


async def test_a_later_attempt_is_said_again_and_keeps_the_earlier_way_back(world: FakeWorld | PostgresWorld) -> None:
    await world.releases.keep(RELEASE, UIDS, REPORTS, said(RELEASE))
    later = replace(RELEASE, attempt=2, key_id="other")
    again = {"2.25.9": "00100010 X site"}
    await world.releases.keep(later, {"1.2.3.1": Pseudonym("2.25.9", UidKind.INSTANCE)}, again, said(later))
    await world.releases.keep(RELEASE, UIDS, REPORTS, said(RELEASE))  # an old message that comes late
    assert await world.releases.attempt("job-1") == 2
    original = await world.releases.original("job-1")
    assert original is not None
    assert original.sop_instance_uids == {"2.25.2": "1.2.3.1", "2.25.9": "1.2.3.1"}
    assert await world.releases.reports("job-1") == again
    assert await world.subjects() == [subjects.JOB_RELEASED] * 2


async def test_a_release_of_several_series_tells_them_apart(world: FakeWorld | PostgresWorld) -> None:
    beside = (ReleasedInput("prior", "1.2.5", "1.2.6", ("1.2.3.7",)),)
    uids = {**UIDS, "1.2.3.7": Pseudonym("2.25.7", UidKind.INSTANCE)}
    await world.releases.keep(replace(RELEASE, inputs=beside), uids, REPORTS, said(RELEASE))
    assert await world.releases.original("job-1") == Original(
        "1.2.3", "1.2.4", 3, "job-0", {"2.25.2": "1.2.3.1"}, beside
    )


async def test_facts_are_said_without_a_release(world: FakeWorld | PostgresWorld) -> None:
    await world.releases.say(said(RELEASE))
    assert await world.subjects() == [subjects.JOB_RELEASED]


async def test_two_jobs_on_one_series_have_each_their_way_back(world: FakeWorld | PostgresWorld) -> None:
    other = replace(RELEASE, job_id="job-2", model="ct-bone")
    for release in (RELEASE, other):
        await world.releases.keep(release, UIDS, REPORTS, said(release))
    assert await world.releases.original("job-1") == await world.releases.original("job-2")


@pytest.fixture(params=["fake", "obstore"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[WorkStore, object]:
    if request.param == "fake":
        fake = FakeWork()
        return fake, lambda key: fake.files[key]
    folder = tmp_path / "made by itself"
    return ObstoreWork.at(f"file://{folder}".replace(" ", "%20")), lambda key: (folder / key).read_bytes()


async def test_a_file_is_written_whole_and_replaced_whole(work: tuple[WorkStore, object]) -> None:
    store, read = work
    for data in (b"first", b"second, and longer"):
        await store.write("jobs/job-1/input/00000.dcm", data)
        assert read("jobs/job-1/input/00000.dcm") == data  # type: ignore[operator]


async def test_a_work_store_that_takes_nothing_is_a_passing_fault(tmp_path: Path) -> None:
    store = ObstoreWork.at(f"file://{tmp_path / 'work'}")
    (tmp_path / "work" / "jobs").write_text("a file where a folder should be")
    with pytest.raises(PassingFault):
        await store.write("jobs/job-1/input/00000.dcm", b"data")


class _Servicer(calls.ArchiveServicer):
    """The archive's side of the wire, over the same files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    async def ListInstances(self, request: calls.SeriesRef, context: object) -> calls.InstanceList:
        return calls.InstanceList(
            digest="d1",
            instances=[
                calls.InstanceRef(
                    sop_instance_uid=uid,
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                    digest=hashlib.sha256(data).hexdigest(),
                    bytes=len(data),
                )
                for uid, data in sorted(self._files.items())
            ],
        )

    async def ReadInstance(
        self, request: calls.ReadInstanceRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[calls.Chunk]:
        if request.sop_instance_uid not in self._files:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no-such-instance: there is no such instance")
        data = self._files[request.sop_instance_uid]
        for start in range(0, len(data), calls.CHUNK_BYTES):
            yield calls.Chunk(data=data[start : start + calls.CHUNK_BYTES])


@pytest_asyncio.fixture(params=["fake", "grpc"])
async def archive(request: pytest.FixtureRequest) -> AsyncIterator[SourceArchive]:
    if request.param == "fake":
        yield FakeArchive(FILES)
        return
    port = free_port()
    async with AsyncExitStack() as parts:
        await parts.enter_async_context(
            rpc.serving(
                "127.0.0.1",
                port,
                log=Log("archive"),
                grace=1,
                add=lambda server: calls.add_ArchiveServicer_to_server(_Servicer(FILES), server),
            )
        )
        yield GrpcArchive(await parts.enter_async_context(rpc.channel(f"127.0.0.1:{port}")))


async def test_a_series_is_listed_and_its_instances_are_read(archive: SourceArchive) -> None:
    listing = await archive.list("1.2.3", "1.2.4")
    assert listing.digest == "d1"
    assert [(one.sop_instance_uid, one.size) for one in listing.instances] == [("1.2.3.1", 700_000), ("1.2.3.2", 1)]
    with archive.reading("1.2.3", "1.2.4") as read:
        assert [await read(one) for one in listing.instances] == list(FILES.values())


async def test_an_instance_that_is_gone_means_that_the_series_has_changed() -> None:
    port = free_port()
    add = lambda server: calls.add_ArchiveServicer_to_server(_Servicer({}), server)  # noqa: E731
    async with (
        rpc.serving("127.0.0.1", port, log=Log("archive"), grace=1, add=add),
        rpc.channel(f"127.0.0.1:{port}") as channel,
    ):
        with (
            pytest.raises(SeriesChangedError) as changed,
            GrpcArchive(channel).reading("1.2.3", "1.2.4") as read,
        ):
            await read(Listed("1.2.3.1", "", "", 1))
    assert "1.2.3" not in str(changed.value)


async def test_an_archive_that_is_away_is_a_passing_fault() -> None:
    async with rpc.channel(f"127.0.0.1:{free_port()}") as channel:
        with pytest.raises(PassingFault):
            await GrpcArchive(channel).list("1.2.3", "1.2.4")
