"""What this service needs of the world, by role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from services.anonymise.model import Listed, Listing, Original, Pseudonym, Release
from services.contracts.events import Event

Read = Callable[[Listed], Awaitable[bytes]]


class SourceArchive(Protocol):
    """Where the identifiable instances lie."""

    async def list(self, study_instance_uid: str, series_instance_uid: str) -> Listing:
        """The instances of a series now."""

    def reading(self, study_instance_uid: str, series_instance_uid: str) -> AbstractContextManager[Read]:
        """A way to read instances of a series while the body runs: each comes as the bytes of a PS3.10 file."""


class WorkStore(Protocol):
    """The other side of the airlock."""

    async def write(self, key: str, data: bytes) -> None:
        """Write a file whole, or not at all; a file of that name is replaced."""


class Releases(Protocol):
    """What was let out, and the way back."""

    async def attempt(self, job_id: str) -> int:
        """The newest attempt at the job that was released; 0 if none was."""

    async def keep(
        self,
        release: Release,
        uids: Mapping[str, Pseudonym],
        reports: Mapping[str, str],
        facts: Sequence[tuple[Event, str | None]],
    ) -> None:
        """Keep a release and say `facts` (with message ids) in one transaction; nothing if it was kept before.

        Args:
            reports: what was done to each instance, by its pseudonym.
        """

    async def reports(self, job_id: str) -> Mapping[str, str]:
        """What was done to each instance of the newest attempt at a job, by its pseudonym."""

    async def say(self, facts: Sequence[tuple[Event, str | None]]) -> None:
        """Say facts durably."""

    async def original(self, job_id: str) -> Original | None:
        """The way back of a job."""


class Bulletin(Protocol):
    """Where progress is told."""

    async def mention(self, event: Event) -> None:
        """Say what may be lost."""
