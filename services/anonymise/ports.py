"""What this service needs of the world, by role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from services.anonymise.burned_in.model import Box, Decision, Finding
from services.anonymise.burned_in.work import Work
from services.anonymise.model import Listed, Listing, Original, Pseudonym, Release
from services.anonymise.quarantine import Entry, Held, State
from services.contracts.events import Event, JobRequested

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

    async def pseudonyms(self, job_id: str) -> Mapping[str, str]:
        """What every pseudonym of a job stands for, whatever it names and by whichever key it was made."""


class Bulletin(Protocol):
    """Where progress is told."""

    async def mention(self, event: Event) -> None:
        """Say what may be lost."""


class PixelWorkers(Protocol):
    """Processes that handle pixels which may be hostile."""

    def ask(self, work: Work, parameters: bytes, data: Sequence[bytes | memoryview] = ()) -> bytes:
        """Have something done to pixels; blocks until it is. Raises `WorkRefused` where it was not."""


class Quarantine(Protocol):
    """Pictures that a person has to look at, what people decided, and the jobs that wait for it."""

    async def decided(self, digest: str) -> Decision | None:
        """What a person decided about the pixels of this digest; None while nobody has."""

    async def hold(
        self, requested: JobRequested, findings: Sequence[Finding], facts: Sequence[tuple[Event, str | None]]
    ) -> None:
        """Keep what was found, and the job until all of it is decided; say `facts`. A new attempt takes the place of
        the one before. Of a job that was cancelled, nothing is kept."""

    async def entries(self, state: State | None) -> Sequence[Entry]:
        """The pictures in a state, or all, oldest first."""

    async def entry(self, number: int) -> Entry | None:
        """A picture."""

    async def decide(
        self, number: int, state: State, masks: Sequence[Box], by: str, facts: Sequence[tuple[Event, str | None]]
    ) -> None:
        """Keep a decision, and say `facts` and what comes of it for the jobs that wait, in one transaction."""

    async def withdraw(self, job_id: str) -> int:
        """The job was cancelled: it waits no longer, nor ever will. Pictures that nobody decided about and no other job
        waits for are withdrawn; how many."""

    async def held(self) -> Sequence[Held]:
        """The jobs that wait."""
