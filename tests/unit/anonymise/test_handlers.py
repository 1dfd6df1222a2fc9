"""Letting a series out, saying that it cannot be let out, and the way back."""

import hashlib
import io
import json
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import pydicom
import pytest

from services.anonymise.burned_in.model import Doubt, Finding
from services.anonymise.engine.deidentifying import Policy, Seen
from services.anonymise.engine.elements import File
from services.anonymise.engine.options import Option
from services.anonymise.engine.profile import Profile, basic_profile
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.engine.report import Report
from services.anonymise.errors import (
    DamagedInstanceError,
    DoubtfulPixelsError,
    HeldError,
    InputChangedError,
    NotReleasedError,
    Reason,
    RefusedError,
    SeriesChangedError,
)
from services.anonymise.handlers import releasing as handlers
from services.anonymise.handlers.releasing import Limits
from services.anonymise.model import ReleasedInput
from services.chassis.faults import PassingFault
from services.chassis.principal import Principal
from services.contracts.events import (
    Action,
    AuditRecorded,
    InputSeries,
    JobFailed,
    JobProgressed,
    JobReleased,
    JobRequested,
    Outcome,
)
from tests.unit.anonymise import planted
from tests.unit.anonymise.fakes import FakeArchive, FakeBulletin, FakeReleases, FakeWork
from tests.unit.anonymise.planted import ct, element, part10

POLICY = Policy(Pseudonyms(b"k" * 32))
REQUESTED = JobRequested("job-1", planted.STUDY, planted.SERIES, 2, "d1", "ct-lung", "1.0.0", "job-0")


def series(count: int = 5) -> dict[str, bytes]:
    return {
        f"1.2.3.9.{number}": part10(ct(element(0x00080018, "UI", f"1.2.3.9.{number}".encode())))
        for number in range(count)
    }


@dataclass
class World:
    archive: FakeArchive = field(default_factory=lambda: FakeArchive(series()))
    work: FakeWork = field(default_factory=FakeWork)
    releases: FakeReleases = field(default_factory=FakeReleases)
    bulletin: FakeBulletin = field(default_factory=FakeBulletin)

    async def release(self, requested: JobRequested = REQUESTED, *, policy: Policy = POLICY) -> None:
        await handlers.release(
            requested,
            archive=self.archive,
            work=self.work,
            releases=self.releases,
            bulletin=self.bulletin,
            policy=policy,
            limits=Limits(at_once=3, instance_bytes=100_000),
        )

    def said(self, kind: type) -> list[object]:
        return [event for event, _ in self.releases.said if isinstance(event, kind)]


async def test_a_series_is_let_out_whole_with_the_manifest_last() -> None:
    world = World()
    await world.release()
    assert world.work.order[-1] == "jobs/job-1/input/manifest.json"
    manifest = json.loads(world.work.files[world.work.order[-1]])
    assert {key: manifest[key] for key in ("schema", "job_id", "model", "model_version")} == {
        "schema": 1,
        "job_id": "job-1",
        "model": "ct-lung",
        "model_version": "1.0.0",
    }
    assert [line["file"] for line in manifest["instances"]] == [f"{number:05d}.dcm" for number in range(5)]
    for line in manifest["instances"]:
        data = world.work.files[f"jobs/job-1/input/{line['file']}"]
        assert line["sha256"] == hashlib.sha256(data).hexdigest() and line["bytes"] == len(data)
        assert pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID == line["sop_instance_uid"]


async def test_nothing_identifying_crosses_the_airlock() -> None:
    world = World()
    await world.release()
    crossed = b"".join([key.encode() + data for key, data in world.work.files.items()])
    crossed += b"".join(event.to_bytes() for event, _ in world.releases.said if isinstance(event, JobReleased))
    crossed += b"".join(event.to_bytes() for event in world.bulletin.mentioned)
    for secret in (planted.STUDY, planted.SERIES, planted.FRAME, "1.2.3.9.", "Doe", "Jane", "MRN-4711-0815"):
        assert secret.encode() not in crossed


async def test_the_release_is_said_once_and_recorded() -> None:
    world = World()
    await world.release()
    assert world.releases.said[0] == (
        JobReleased("job-1", "ct-lung", "1.0.0", "jobs/job-1/input/manifest.json", 5, 1),
        "job-1.1.released",
    )
    (record,) = world.said(AuditRecorded)
    assert isinstance(record, AuditRecorded)
    assert (record.action, record.outcome, record.study_instance_uid, record.instances, record.caller) == (
        Action.DEIDENTIFY,
        Outcome.SUCCESS,
        planted.STUDY,
        5,
        "service:anonymise",
    )


async def test_what_was_done_to_each_instance_is_kept_without_a_value() -> None:
    world = World()
    await world.release()
    reports = await world.releases.reports("job-1")
    assert reports.keys() == {POLICY.pseudonyms.uid(uid) for uid in series()}
    (report,) = {Report(text) for text in reports.values()}  # all slices are alike
    lines = {path: (action.value, because.value) for path, action, because in report.lines()}
    assert lines["00100010"] == ("Z", "table-e1-1") and lines["00280010"] == ("K", "unlisted")
    assert not any(secret in report.text for secret in ("Doe", "4711", planted.STUDY))


def prior(days_before: int = 100) -> dict[str, bytes]:
    """A series of an earlier study of the same patient."""
    changed = (
        element(0x00080018, "UI", b"1.2.3.8.1"),
        element(0x0020000D, "UI", PRIOR.study_instance_uid.encode()),
        element(0x0020000E, "UI", PRIOR.series_instance_uid.encode()),
        element(0x00080020, "DA", (date(2026, 3, 14) - timedelta(days_before)).strftime("%Y%m%d").encode()),
    )
    return {"1.2.3.8.1": part10(ct(*changed))}


PRIOR = InputSeries("prior", "1.2.3.80", "1.2.3.81", "p1")
WITH_PRIOR = replace(REQUESTED, inputs=(PRIOR,))
SHIFTING = Policy(
    Pseudonyms(b"k" * 32),
    replace(basic_profile(), options=basic_profile().options | {Option.RETAIN_MODIFIED_DATES}),
)


async def test_a_prior_leaves_with_its_series_under_the_same_pseudonyms_and_has_its_own_way_back() -> None:
    world = World()
    today = element(0x00080020, "DA", b"20260314")
    world.archive.files = {"1.2.3.9.1": part10(ct(element(0x00080018, "UI", b"1.2.3.9.1"), today))}
    world.archive.others = {PRIOR.series_instance_uid: ("p1", prior())}
    await world.release(WITH_PRIOR, policy=SHIFTING)
    manifest = json.loads(world.work.files["jobs/job-1/input/manifest.json"])
    lines = [*manifest["instances"], *manifest["inputs"]["prior"]]
    assert [line["file"] for line in lines] == ["00000.dcm", "00001.dcm"]
    now, then = (pydicom.dcmread(io.BytesIO(world.work.files[f"jobs/job-1/input/{line['file']}"])) for line in lines)
    assert now.PatientID == then.PatientID
    assert now.StudyInstanceUID != then.StudyInstanceUID and "1.2.3.80" not in str(then)
    moved = [datetime.strptime(ds.StudyDate, "%Y%m%d") for ds in (now, then)]
    assert (moved[0] - moved[1]).days == 100 and now.StudyDate != "20260314"
    released = world.said(JobReleased)[0]
    assert isinstance(released, JobReleased) and released.instances == 2
    records = [one for one in world.said(AuditRecorded) if isinstance(one, AuditRecorded)]
    assert [(one.study_instance_uid, one.instances) for one in records] == [(planted.STUDY, 1), ("1.2.3.80", 1)]
    original = await handlers.reidentify("job-1", principal=Principal("x"), releases=world.releases)
    assert list(original.sop_instance_uids.values()) == ["1.2.3.9.1"]
    assert original.inputs == (ReleasedInput("prior", "1.2.3.80", "1.2.3.81", ("1.2.3.8.1",)),)


async def test_a_prior_that_has_changed_lets_nothing_out() -> None:
    world = World()
    world.archive.others = {PRIOR.series_instance_uid: ("p2", prior())}
    with pytest.raises(InputChangedError, match="the input prior has changed or is gone"):
        await world.release(WITH_PRIOR)
    assert not world.work.files


async def test_a_doubtful_picture_of_a_prior_holds_the_whole_job() -> None:
    world = World()
    world.archive.others = {PRIOR.series_instance_uid: ("p1", prior())}
    finding = Finding(
        "f" * 64, PRIOR.study_instance_uid, PRIOR.series_instance_uid, "1.2.3.8.1", 8, 8, 1, Doubt.UNSURE, ()
    )

    def doubtful(file: File, profile: Profile) -> Seen:
        if any(bytes(one.value).strip(b"\0 ") == b"1.2.3.8.1" for one in file.elements if one.tag == 0x00080018):
            raise DoubtfulPixelsError(finding)
        return Seen(file, frozenset())

    with pytest.raises(HeldError) as held:
        await world.release(WITH_PRIOR, policy=replace(POLICY, pixels=doubtful))
    assert held.value.findings == (finding,)
    assert "jobs/job-1/input/manifest.json" not in world.work.files and not world.releases.releases


async def test_the_same_request_again_changes_nothing() -> None:
    world = World()
    await world.release()
    reads, said = world.archive.reads, list(world.releases.said)
    await world.release()
    assert (world.archive.reads, world.releases.said) == (reads, said)


async def test_a_request_that_died_on_the_way_writes_the_same_bytes_again() -> None:
    world, again = World(), World()
    await world.release()
    await again.release()
    assert world.work.files == again.work.files


async def test_a_new_attempt_lets_out_and_says_so_again() -> None:
    world = World()
    await world.release()
    await world.release(replace(REQUESTED, attempt=2))
    assert [message_id for event, message_id in world.releases.said if isinstance(event, JobReleased)] == [
        "job-1.1.released",
        "job-1.2.released",
    ]


async def test_progress_is_told_and_ends_with_all() -> None:
    world = World()
    await world.release()
    assert world.bulletin.mentioned[-1] == JobProgressed("job-1", "deidentify", 5, 5)


async def test_a_series_that_has_changed_is_left_to_its_own_job() -> None:
    world = World(archive=FakeArchive(series(), digest="d2"))
    with pytest.raises(SeriesChangedError):
        await world.release()
    assert not world.work.files and not world.releases.said


async def test_one_instance_that_is_refused_holds_the_series_back() -> None:
    files = series()
    files["1.2.3.9.2"] = part10(ct(element(0x00080018, "UI", b"1.2.3.9.2"), element(0x00280301, "CS", b"YES")))
    world = World(archive=FakeArchive(files))
    with pytest.raises(RefusedError) as refused:
        await world.release()
    assert refused.value.code == Reason.BURNED_IN
    assert "jobs/job-1/input/manifest.json" not in world.work.files and not world.releases.said


async def test_a_kind_that_cannot_be_cleaned_is_refused_before_a_byte_is_read() -> None:
    world = World(archive=FakeArchive(series(), sop_class_uid="1.2.840.10008.5.1.4.1.1.104.1"))
    with pytest.raises(RefusedError) as refused:
        await world.release()
    assert refused.value.code == Reason.SOP_CLASS and world.archive.reads == 0


async def test_an_instance_beyond_the_limit_is_refused() -> None:
    world = World(archive=FakeArchive({"1.2.3": bytes(100_001)}))
    with pytest.raises(RefusedError) as refused:
        await world.release()
    assert refused.value.code == Reason.TOO_LARGE


async def test_other_bytes_than_listed_are_refused() -> None:
    class LyingArchive(FakeArchive):
        async def list(self, study_instance_uid: str, series_instance_uid: str):  # type: ignore[no-untyped-def]
            listing = await super().list(study_instance_uid, series_instance_uid)
            return replace(listing, instances=tuple(replace(one, digest="0" * 64) for one in listing.instances))

    with pytest.raises(DamagedInstanceError):
        await World(archive=LyingArchive(series())).release()


async def test_a_part_that_is_away_is_a_passing_fault() -> None:
    class FullWork(FakeWork):
        async def write(self, key: str, data: bytes) -> None:
            raise PassingFault("away", "away")

    with pytest.raises(PassingFault):
        await World(work=FullWork()).release()


async def test_a_failure_is_said_and_recorded_without_phi() -> None:
    world = World()
    await handlers.fail(REQUESTED, RefusedError(Reason.BURNED_IN), releases=world.releases)
    (failed, message_id), (record, _) = world.releases.said
    assert isinstance(failed, JobFailed) and isinstance(record, AuditRecorded)
    assert (failed.step, failed.reason_code, message_id) == ("deidentify", "burned-in-annotation", "job-1.1.failed")
    assert planted.STUDY.encode() not in failed.to_bytes()
    assert (record.action, record.outcome, record.reason_code) == (
        Action.DEIDENTIFY,
        Outcome.REFUSED,
        "burned-in-annotation",
    )


async def test_the_way_back_leads_every_instance_home_and_is_recorded() -> None:
    world = World()
    await world.release()
    asked_by = Principal.service("encode")
    original = await handlers.reidentify("job-1", principal=asked_by, releases=world.releases)
    assert (original.study_instance_uid, original.series_instance_uid) == (planted.STUDY, planted.SERIES)
    assert (original.revision, original.supersedes) == (2, "job-0")
    assert original.sop_instance_uids == {POLICY.pseudonyms.uid(uid): uid for uid in series()}
    record = world.said(AuditRecorded)[-1]
    assert isinstance(record, AuditRecorded)
    assert (record.action, record.caller, record.instances) == (Action.REIDENTIFY, "service:encode", 5)


async def test_the_way_back_holds_after_the_key_was_changed() -> None:
    world = World()
    await world.release()
    await world.release(replace(REQUESTED, attempt=2), policy=Policy(Pseudonyms(b"n" * 32)))
    original = await handlers.reidentify("job-1", principal=Principal.local(), releases=world.releases)
    for key in (b"k" * 32, b"n" * 32):
        assert all(original.sop_instance_uids[Pseudonyms(key).uid(uid)] == uid for uid in series())


async def test_a_job_that_was_never_released_has_no_way_back_and_the_asking_is_recorded() -> None:
    world = World()
    with pytest.raises(NotReleasedError):
        await handlers.reidentify("job-9", principal=Principal.local(), releases=world.releases)
    (record,) = world.said(AuditRecorded)
    assert isinstance(record, AuditRecorded)
    assert (record.outcome, record.reason_code) == (Outcome.REFUSED, "no-such-release")
