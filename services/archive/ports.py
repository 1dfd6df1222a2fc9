"""What the archive needs, by role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from services.archive.model import Document
from services.contracts.events import Event
from services.store.model import Found, InstanceRow, Metadata, Query, SeriesRow


class Index(Protocol):
    """The index that ingest writes; `services.store.reader.IndexReader` is it. All raise `IndexUnavailable`."""

    async def search(self, query: Query) -> list[Found]:
        """What answers the query."""

    async def series(self, study_instance_uid: str, series_instance_uid: str) -> SeriesRow | None:
        """One series."""

    async def study_series(self, study_instance_uid: str) -> list[SeriesRow]:
        """The series of a study; empty when there is none."""

    async def series_instances(self, study_instance_uid: str, series_instance_uid: str) -> list[InstanceRow]:
        """The instances of a series by Instance Number, without metadata and layout."""

    async def series_metadata(self, study_instance_uid: str, series_instance_uid: str) -> Metadata | None:
        """The metadata of all instances of a series by Instance Number."""

    async def instance(
        self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str
    ) -> InstanceRow | None:
        """One instance with metadata and layout."""


class Objects(Protocol):
    """The bytes of instances; `services.store.objects.ObjectStore` is it."""

    async def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """A range of an object. Raises ObjectMissing, ObjectsUnavailable."""

    def stream(self, digest: str, offset: int = 0, length: int | None = None, chunk: int = ...) -> AsyncIterator[bytes]:
        """The same in chunks."""


class Documents(Protocol):
    """Prepared metadata."""

    async def get(self, study_instance_uid: str, series_instance_uid: str, change: int) -> Document | None:
        """The document of a series, if it was made at this change.

        Raises:
            DatabaseUnavailable: it cannot be looked up now.
        """

    async def put(self, study_instance_uid: str, series_instance_uid: str, document: Document) -> None:
        """Keep a document in place of another one of the series. Idempotent.

        Raises:
            DatabaseUnavailable: it cannot be kept now.
        """


class Events(Protocol):
    """Where facts are said; `services.chassis.bus.Bus` is it."""

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        """Say a fact durably. Raises PassingFault."""


class PixelDecoder(Protocol):
    """Decodes one frame into native little endian pixels."""

    async def frame(self, encoded: bytes, transfer_syntax_uid: str, metadata: bytes) -> bytes:
        """The frame's native bytes. Raises NotDecodable."""

    async def instance(self, data: bytes) -> bytes:
        """A whole PS3.10 file in Explicit VR Little Endian. Raises NotDecodable."""
