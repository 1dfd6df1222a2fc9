"""What the archive needs, by role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

from services.archive.model import Document, Located, Resource
from services.archive.rendering_work import Stored
from services.contracts.events import AuditRecorded, Event
from services.pixels.rendering.job import Job
from services.store.history import FeedEntry
from services.store.holdings import Holding
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

    async def settled_revision(self, study_instance_uid: str, series_instance_uid: str, digest: str) -> int:
        """The revision that a series settled with, if it settled last with the instance set of `digest`; else 0."""

    async def series_metadata(self, study_instance_uid: str, series_instance_uid: str) -> Metadata | None:
        """The metadata of all instances of a series by Instance Number."""

    async def instance(
        self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str
    ) -> InstanceRow | None:
        """One instance with metadata and layout."""


class Places(Protocol):
    """Where instances lie, for what is read in small parts and often."""

    async def place(self, resource: Resource) -> Located | None:
        """Where an instance lies at a moment after this call, without its metadata. Raises `IndexUnavailable`."""


class Changes(Protocol):
    """What happened to instances; `services.store.changes.ChangeFeed` is it. All raise `IndexUnavailable`."""

    async def since(self, number: int, limit: int, *, metadata: bool = False) -> list[FeedEntry]:
        """What happened after `number`, in its order."""

    async def last(self) -> int:
        """The number of the last entry."""


class Holdings(Protocol):
    """The same index by SOP Instance UIDs alone; `services.store.holdings.Holdings` is it."""

    async def held(self, sop_instance_uids: Sequence[str]) -> Mapping[str, Holding]:
        """Those of the instances that are here. Raises IndexUnavailable."""


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

    async def forget(self, study_instance_uid: str, series_instance_uid: str) -> None:
        """Let go of the document of a series. Raises DatabaseUnavailable."""


class Answers(Protocol):
    """Bodies that went out before, by entity tag; any of them may be gone."""

    def get(self, etag: str) -> bytes | None:
        """The body that has this tag, if it is still here."""

    def put(self, etag: str, body: bytes) -> None:
        """Remember a body."""


class Totals(Protocol):
    """What outlives the process of accesses that it has counted. All raise a PassingFault."""

    async def keep(self, totals: Iterable[AuditRecorded]) -> None:
        """Keep totals as they stand, in place of what was kept under their ids."""

    async def forget(self, record_ids: Sequence[str]) -> None:
        """Forget totals that were said."""

    async def left(self, seconds: float) -> list[AuditRecorded]:
        """Totals that nobody has kept anew for so long: their process is gone."""


class Events(Protocol):
    """Where facts are said; `services.chassis.bus.Bus` is it."""

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        """Say a fact durably. Raises PassingFault."""


class PixelDecoder(Protocol):
    """Decodes and encodes frames, under limits of memory and time."""

    async def frame(self, encoded: bytes, transfer_syntax_uid: str, metadata: bytes, *, target: str = ...) -> bytes:
        """A frame in a transfer syntax: of a native one, its native bytes as little endian.

        Args:
            encoded: the frame as it is stored; of a native one, as little endian.
            transfer_syntax_uid: as it is stored.
            metadata: of the instance, as DICOM JSON.
            target: Explicit VR Little Endian, or one of `services.pixels.syntaxes.targets`.

        Raises:
            NotDecodable: it cannot be brought into the target.
            TooMuch: that takes more memory than there is for it.
            PixelsBusy: there is too much to do now.
        """

    async def instance(self, data: bytes) -> bytes:
        """A whole PS3.10 file in Explicit VR Little Endian. Raises as `frame`."""

    def transcode(self, located: Located, objects: Objects, target: str) -> AsyncIterator[bytes]:
        """A stored PS3.10 file in another transfer syntax, in pieces. Raises as `frame`, before the first of them."""


class Renderer(Protocol):
    """Makes images, under limits."""

    async def image(
        self,
        job: Job,
        frames: Sequence[bytes | Stored] = (),
        transfer_syntax_uid: str = "",
        attributes: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The image of a job on encoded frames of an instance.

        Args:
            job: how frames are drawn.
            frames: as stored, or where they are, one for each place of the job; none for an object without frames.
            transfer_syntax_uid: of them.
            attributes: of the instance, as DICOM JSON.

        Raises:
            NotRenderable: they cannot be shown.
            NotWritable: the annotation cannot be written.
            InvalidQuery: the viewport shows nothing of them.
        """


class ImplicitWriter(Protocol):
    """Writes a data set anew in the transfer syntax that every peer has to take (PS3.5 10.1)."""

    async def implicit(self, data: bytes) -> bytes:
        """A PS3.10 file of Explicit VR Little Endian in Implicit VR Little Endian. Raises NotDecodable."""
