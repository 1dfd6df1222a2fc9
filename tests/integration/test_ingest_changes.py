"""What changes after it was stored: other bytes under one UID, deletion, and the feed that tells of both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import nats
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy

from services.contracts import subjects
from services.contracts.events import Action, AuditRecorded, InstancesDeleted, Outcome, SeriesSettled
from services.dicom import uids
from services.dicom.part10 import parse_instance
from services.ingest.settings import Settings
from services.store.changes import ChangeFeed
from services.store.discards import Discards
from services.store.history import ChangeKind, ChangeState
from services.store.model import Policy
from tests.integration.test_ingest import Ingest, ingest, running, settings  # noqa: F401  # fixtures
from tests.unit.ingest.made import made


@asynccontextmanager
async def with_policy(settings: Settings, nats_url: str, **changed: object) -> AsyncIterator[Ingest]:  # noqa: F811
    async with running(settings.model_copy(update=changed), nats_url) as started:
        yield started


async def served(ingest: Ingest, file: bytes) -> bytes | None:  # noqa: F811
    """What is served where `file` says that it belongs."""
    parsed = parse_instance(file)
    row = await ingest.reader.instance(parsed.study_instance_uid, parsed.series_instance_uid, parsed.sop_instance_uid)
    return await ingest.objects.read(row.digest) if row else None


async def feed(ingest: Ingest) -> list[tuple[ChangeKind, ChangeState, str]]:  # noqa: F811
    entries = await ChangeFeed(ingest.pool).since(0, 1000)
    assert [each.number for each in entries] == list(range(1, len(entries) + 1))
    return [(each.kind, each.state, each.sop_instance_uid) for each in entries]


def versions(count: int = 2, **attributes: object) -> list[bytes]:
    """Files of one instance that differ."""
    names = {"StudyInstanceUID": uids.new_uid(), "SeriesInstanceUID": uids.new_uid(), "SOPInstanceUID": uids.new_uid()}
    return [made(**(names | attributes), InstanceNumber=number + 1) for number in range(count)]


async def test_the_last_one_is_served_where_that_is_the_policy_and_the_first_is_evidence(
    settings: Settings,  # noqa: F811
    nats_url: str,
) -> None:
    first, second = versions()
    uid = parse_instance(first).sop_instance_uid
    async with with_policy(settings, nats_url, conflicts=Policy.KEEP_LAST) as ingest:  # noqa: F811
        await ingest.send(first)
        assert SeriesSettled.from_bytes(await ingest.heard.next()).revision == 1

        assert (await ingest.send(second)).status_code == 200

        settled = SeriesSettled.from_bytes(await ingest.heard.next())
        assert (settled.revision, settled.instances) == (2, 1)
        assert await served(ingest, first) == second
        (evidence,) = (await ingest.http.get("/conflicts")).json()
        assert (evidence["SOPInstanceUID"], evidence["was_served"], evidence["times"]) == (uid, True, 1)
        assert (await ingest.http.get(evidence["file"])).content == first
        assert await feed(ingest) == [
            (ChangeKind.CREATE, ChangeState.REPLACED, uid),
            (ChangeKind.UPDATE, ChangeState.CURRENT, uid),
        ]
        # Back and forth: nothing is lost on the way.
        assert (await ingest.send(first)).status_code == 200
        assert await served(ingest, first) == first
        (evidence,) = (await ingest.http.get("/conflicts")).json()
        assert (await ingest.http.get(evidence["file"])).content == second


async def test_the_last_one_may_be_of_another_study_and_leaves_nothing_empty_behind(
    settings: Settings,  # noqa: F811
    nats_url: str,
) -> None:
    uid = uids.new_uid()
    first, second = made(SOPInstanceUID=uid), made(SOPInstanceUID=uid)
    async with with_policy(settings, nats_url, conflicts=Policy.KEEP_LAST) as ingest:  # noqa: F811
        await ingest.send(first)
        await ingest.send(second)

        assert await served(ingest, first) is None
        assert await served(ingest, second) == second
        assert await ingest.count("study") == await ingest.count("series") == await ingest.count("instance") == 1


async def test_a_duplicate_is_refused_where_that_is_the_policy(settings: Settings, nats_url: str) -> None:  # noqa: F811
    first, second = versions()
    async with with_policy(settings, nats_url, conflicts=Policy.REFUSE) as ingest:  # noqa: F811
        await ingest.send(first)

        response = await ingest.send(second)

        assert response.status_code == 409
        (failed,) = response.json()["00081198"]["Value"]
        assert failed["00081197"]["Value"] == [0x0111]
        assert await served(ingest, first) == first
        assert await ingest.count("conflict") == 0
        assert len(ingest.files()) == 2
        assert await Discards(ingest.pool, ingest.objects, rest_seconds=0).remove_next()
        assert [path.read_bytes() for path in ingest.files()] == [first]
        assert await served(ingest, first) == first


@pytest.mark.parametrize("policy", list(Policy))
async def test_no_version_that_was_taken_is_lost_whoever_comes_when(
    settings: Settings,  # noqa: F811
    nats_url: str,
    policy: Policy,
) -> None:
    """Two processes store versions of the same instances at once, while objects that nothing names are removed."""
    contested = [versions(4) for _ in range(6)]
    sent = [file for files in contested for file in files] * 2
    random.Random(7).shuffle(sent)
    async with AsyncExitStack() as parts:
        both = [await parts.enter_async_context(with_policy(settings, nats_url, conflicts=policy))]
        both.append(
            await parts.enter_async_context(
                with_policy(settings, nats_url, conflicts=policy, grpc_port=settings.grpc_port + 1)
            )
        )
        one = both[0]
        discards = Discards(one.pool, one.objects, rest_seconds=0.2)

        async def remove() -> None:
            while True:
                await discards.remove_next()
                await asyncio.sleep(0.01)

        removing = asyncio.create_task(remove())
        answers = await asyncio.gather(*(both[n % 2].send(file) for n, file in enumerate(sent)))
        removing.cancel()

        taken = {file for file, answer in zip(sent, answers, strict=True) if answer.status_code in (200, 202)}
        assert {answer.status_code for answer in answers} <= {200, 202, 409}
        kept = {await served(one, files[0]) for files in contested}
        assert None not in kept
        for each in (await one.http.get("/conflicts")).json():
            kept.add(await one.objects.read(each["digest"]))
        assert taken <= kept
        assert await one.count("instance") == len(contested)
        assert await one.pool.fetchval("SELECT sum(instance_count) FROM index.series") == len(contested)
        assert await one.pool.fetchval("SELECT sum(instance_count) FROM index.study") == len(contested)


async def test_an_operator_may_serve_the_evidence_or_let_go_of_it(ingest: Ingest) -> None:  # noqa: F811
    first, second = versions()
    await ingest.send(first)
    await ingest.send(second)
    assert await served(ingest, first) == first
    (evidence,) = (await ingest.http.get("/conflicts")).json()
    assert not evidence["was_served"]

    assert (await ingest.http.post(f"{evidence['file']}/accept")).status_code == 204
    assert await served(ingest, first) == second
    assert (await ingest.http.post(f"{evidence['file']}/accept")).status_code == 404

    (other,) = (await ingest.http.get("/conflicts")).json()
    assert (await ingest.http.get(other["file"])).content == first
    assert (await ingest.http.delete(other["file"])).status_code == 204
    assert (await ingest.http.get(other["file"])).status_code == 404
    assert (await ingest.http.get("/conflicts")).json() == []
    assert await served(ingest, first) == second
    assert (await ingest.http.get("/conflicts/x/y")).status_code == 400


async def test_nothing_is_deleted_unless_a_setting_allows_it(ingest: Ingest) -> None:  # noqa: F811
    file = made()
    await ingest.send(file)

    refused = await ingest.http.delete(f"/dicom-web/studies/{parse_instance(file).study_instance_uid}")

    assert (refused.status_code, refused.json()["code"]) == (403, "deletion-off")
    assert "PLEXUS_INGEST_DELETION" in refused.json()["detail"]
    assert await served(ingest, file) == file


async def test_an_instance_a_series_and_a_study_can_be_deleted_and_come_again(
    settings: Settings,  # noqa: F811
    nats_url: str,
) -> None:
    study, series, other = uids.new_uid(), uids.new_uid(), uids.new_uid()
    files = [made(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=n) for n in range(3)]
    apart = made(StudyInstanceUID=study, SeriesInstanceUID=other, Modality="MR")
    names = [parse_instance(file).sop_instance_uid for file in (*files, apart)]
    async with with_policy(settings, nats_url, deletion=True) as ingest:  # noqa: F811
        await ingest.send(*files)
        assert SeriesSettled.from_bytes(await ingest.heard.next()).revision == 1
        await ingest.send(apart)
        await ingest.heard.next()
        await ingest.send(made(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=names[0]))
        assert await ingest.count("conflict") == 1
        root = f"/dicom-web/studies/{study}"

        # One instance: its evidence goes as well, and what is left settles anew.
        assert (await ingest.http.delete(f"{root}/series/{series}/instances/{names[0]}")).status_code == 204
        assert await served(ingest, files[0]) is None
        assert await ingest.count("conflict") == 0
        settled = SeriesSettled.from_bytes(await ingest.heard.next())
        assert (settled.series_instance_uid, settled.revision, settled.instances) == (series, 2, 2)

        # A series: the study has one less.
        assert (await ingest.http.delete(f"{root}/series/{other}")).status_code == 204
        row = await ingest.pool.fetchrow("SELECT instance_count, series_count, modalities FROM index.study")
        assert row is not None
        assert (row["instance_count"], row["series_count"], row["modalities"]) == (2, 1, ["CT"])

        # The study; what is gone cannot be deleted again.
        assert (await ingest.http.delete(root)).status_code == 204
        assert [await ingest.count(table) for table in ("study", "series", "instance", "settling")] == [0, 0, 0, 0]
        assert (await ingest.http.delete(root)).status_code == 404
        assert (await ingest.http.delete("/dicom-web/studies/nonsense")).status_code == 400
        assert [each[:2] for each in (await feed(ingest))[4:]] == [(ChangeKind.DELETE, ChangeState.DELETED)] * 4

        # The objects are removed in the end, unless they come back before: then they stay.
        await ingest.send(files[1])
        discards = Discards(ingest.pool, ingest.objects, rest_seconds=0)
        while await discards.remove_next():
            pass
        assert [path.read_bytes() for path in ingest.files()] == [files[1]]
        assert await ingest.count("discarded") == 0
        # A revision is never said twice, also of a series that was gone.
        settled = SeriesSettled.from_bytes(await ingest.heard.next())
        assert (settled.revision, settled.instances) == (3, 1)


async def test_deleting_says_what_is_gone_and_who_did_it(settings: Settings, nats_url: str) -> None:  # noqa: F811
    file = made()
    parsed = parse_instance(file)
    async with with_policy(settings, nats_url, deletion=True) as ingest, listening(nats_url) as said:  # noqa: F811
        await ingest.send(file)
        await ingest.http.delete(f"/dicom-web/studies/{parsed.study_instance_uid}")
        await ingest.http.delete(f"/dicom-web/studies/{parsed.study_instance_uid}")

        deleted = InstancesDeleted.from_bytes(await said(subjects.INSTANCE_DELETED))
        assert (deleted.sop_instance_uids, deleted.whole_series) == ((parsed.sop_instance_uid,), True)
        records: list[AuditRecorded] = []
        while len(records) < 2:
            record = AuditRecorded.from_bytes(await said(subjects.AUDIT_RECORDED))
            records += [record] if record.action == Action.DELETE else []
        assert [(each.outcome, each.caller, each.instances) for each in records] == [
            (Outcome.SUCCESS, "local", 1),
            (Outcome.REFUSED, "local", 0),
        ]
        assert {each.study_instance_uid for each in records} == {parsed.study_instance_uid}


@asynccontextmanager
async def listening(nats_url: str) -> AsyncIterator[Callable[[str], Awaitable[bytes]]]:
    """Gives what is said from now on, by subject."""
    client = await nats.connect(nats_url)
    streams = client.jetstream()
    # A configuration each: subscribing writes the subject to deliver to into what it is given.
    heard = {
        subject: await streams.subscribe(subject, config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW))
        for subject in (subjects.INSTANCE_DELETED, subjects.AUDIT_RECORDED)
    }

    async def said(subject: str) -> bytes:
        return bytes((await heard[subject].next_msg(20)).data)

    yield said
    await client.close()


async def test_a_reader_of_the_feed_misses_nothing_while_many_store(ingest: Ingest) -> None:  # noqa: F811
    feed_reader, seen, done = ChangeFeed(ingest.pool), [], asyncio.Event()

    async def follow() -> None:
        last = 0
        while True:
            ending = done.is_set()
            page = await feed_reader.since(last, 7)
            seen.extend(each.number for each in page)
            last = page[-1].number if page else last
            if ending and not page:
                return
            await asyncio.sleep(0.002)

    following = asyncio.create_task(follow())
    await asyncio.gather(*(ingest.send(*(made() for _ in range(5))) for _ in range(16)))
    done.set()
    await following

    assert seen == list(range(1, 81))
    assert await feed_reader.last() == 80
