"""What this service needs of others, named by role."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from services.contracts.events import Event
from services.encode.model import Document, Encoded, Original, OriginalInput, Task


class ResultStore(Protocol):
    """Where models' results lie."""

    async def read(self, key: str) -> tuple[bytes, datetime]:
        """The bytes under `key`, and when they were written.

        Raises:
            ResultMissing: nothing is there.
            WorkUnavailable: the store does not answer.
        """


class Airlock(Protocol):
    """The way back from pseudonyms."""

    async def reidentify(self, job_id: str) -> Original:
        """The original identifiers of the job's source.

        Raises:
            JobUnknown: the job was never released.
        """


class SourceArchive(Protocol):
    """Where the source instances lie."""

    async def headers(self, original: Original | OriginalInput, sop_instance_uids: Sequence[str]) -> list[bytes]:
        """The headers of instances of the source series, or of a further input, in the order asked for.

        Raises:
            SourceGone: some are no longer there.
        """

    async def pixels(self, original: Original, sop_instance_uid: str) -> bytes | None:
        """An instance of the source series with its pixels, uncompressed; None where there is no picture of it.

        None, too, when it has more bytes than pictures may take, or pixels that cannot be decoded: a result without
        its picture is better than none.
        """

    async def holds(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """Says whether an instance is there."""


class Encoder(Protocol):
    """Makes documents. Heavy work: call it in a thread."""

    def encode(self, task: Task) -> Encoded:
        """The documents of a job, and what had to be left out.

        Raises:
            SourceUnusable: the headers cannot carry a result.
            CardMismatch: the result does not fit its card.
            EncodingFailed: a document that carries the finding cannot be built (`services.encode.plan.carries`).
        """


class FrontDoor(Protocol):
    """Where everything that is to be kept comes in."""

    async def store(self, documents: Sequence[Document]) -> None:
        """Keep the documents; returns once each is durable. The same again changes nothing.

        Raises:
            StoreRefused: a document is at fault.
            StoreUnavailable: the same may pass later.
        """


class Events(Protocol):
    """Where facts are said."""

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        """Say a fact durably; the same `message_id` again changes nothing."""

    async def mention(self, event: Event) -> None:
        """Say what may be lost."""
