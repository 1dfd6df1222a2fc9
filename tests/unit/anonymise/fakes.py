"""The ports of the service, in memory. They pass the same contract tests as the real ones (tests/contract)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from services.anonymise.model import Listed, Listing, Original, Pseudonym, Release, UidKind
from services.anonymise.ports import Read
from services.contracts.events import Event
from tests.unit.anonymise import planted


class FakeArchive:
    """One series, and others that a job takes beside it."""

    def __init__(self, files: Mapping[str, bytes], *, digest: str = "d1", sop_class_uid: str = planted.CT) -> None:
        self.files = dict(files)
        self.digest = digest
        self.sop_class_uid = sop_class_uid
        self.reads = 0
        self.others: dict[str, tuple[str, dict[str, bytes]]] = {}
        """By series: digest and files."""

    async def list(self, study_instance_uid: str, series_instance_uid: str) -> Listing:
        digest, files = self.others.get(series_instance_uid, (self.digest, self.files))
        return Listing(
            digest,
            tuple(
                Listed(uid, self.sop_class_uid, hashlib.sha256(data).hexdigest(), len(data))
                for uid, data in sorted(files.items())
            ),
        )

    @contextmanager
    def reading(self, study_instance_uid: str, series_instance_uid: str) -> Iterator[Read]:
        async def read(instance: Listed) -> bytes:
            self.reads += 1
            files = self.others.get(series_instance_uid, ("", self.files))[1]
            return files[instance.sop_instance_uid]

        yield read


class FakeWork:
    """Files by key, and the order in which they came."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.order: list[str] = []

    async def write(self, key: str, data: bytes) -> None:
        self.files[key] = data
        self.order.append(key)


class FakeReleases:
    """Releases, pseudonyms and what was said."""

    def __init__(self) -> None:
        self.releases: dict[str, Release] = {}
        self.pseudonyms_of: dict[str, dict[str, tuple[str, UidKind]]] = {}
        self.said: list[tuple[Event, str | None]] = []
        self.kept_reports: dict[str, Mapping[str, str]] = {}

    async def attempt(self, job_id: str) -> int:
        return self.releases[job_id].attempt if job_id in self.releases else 0

    async def reports(self, job_id: str) -> Mapping[str, str]:
        return self.kept_reports.get(job_id, {})

    async def keep(
        self,
        release: Release,
        uids: Mapping[str, Pseudonym],
        reports: Mapping[str, str],
        facts: Sequence[tuple[Event, str | None]],
    ) -> None:
        if await self.attempt(release.job_id) >= release.attempt:
            return
        self.releases[release.job_id] = release
        self.kept_reports[release.job_id] = dict(reports)
        rows = self.pseudonyms_of.setdefault(release.job_id, {})
        rows.update({pseudonym.uid: (original, pseudonym.kind) for original, pseudonym in uids.items()})
        await self.say(facts)

    async def say(self, facts: Sequence[tuple[Event, str | None]]) -> None:
        self.said.extend(facts)

    async def original(self, job_id: str) -> Original | None:
        release = self.releases.get(job_id)
        if release is None:
            return None
        others = {uid for one in release.inputs for uid in one.sop_instance_uids}
        return Original(
            release.study_instance_uid,
            release.series_instance_uid,
            release.revision,
            release.supersedes,
            {
                pseudonym: original
                for pseudonym, (original, kind) in self.pseudonyms_of[job_id].items()
                if kind is UidKind.INSTANCE and original not in others
            },
            release.inputs,
        )

    async def pseudonyms(self, job_id: str) -> Mapping[str, str]:
        return {pseudonym: original for pseudonym, (original, _) in self.pseudonyms_of.get(job_id, {}).items()}


class FakeBulletin:
    """What was mentioned."""

    def __init__(self) -> None:
        self.mentioned: list[Event] = []

    async def mention(self, event: Event) -> None:
        self.mentioned.append(event)
