"""Instances and parts of them (PS3.18 10.4): what is there, and in which form the client can have it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.archive import content, possible
from services.archive.errors import NoSuchInstance
from services.archive.handlers.finding import instance_of, series_of
from services.archive.handlers.recording import recorded
from services.archive.model import Located, Resource, etag
from services.archive.negotiation import (
    Form,
    frames_form,
    instances_form,
    stored_frames_form,
    stored_instances_form,
)
from services.archive.ports import Events, Index, Places
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.dicom.accept import MediaRange
from services.dicom.frames import FrameSpan
from services.dicom.layout import Layout
from services.store.model import InstanceRow

Ranges = tuple[MediaRange, ...]


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames that are there, and their form."""

    located: Located
    spans: Sequence[FrameSpan]
    form: Form
    etag: str


@dataclass(frozen=True, slots=True)
class Files:
    """Instances that are there, and their form."""

    rows: Sequence[InstanceRow]
    form: Form
    etag: str


async def files(resource: Resource, ranges: Ranges, *, index: Index) -> Files:
    """Find the instances of a study, a series, or the one that is named, to be sent whole (PS3.18 10.4.1.1.1).

    Raises:
        NotFound: there is no such thing.
        NotAcceptable: in none of the ways that the client accepts.
    """
    rows = await rows_of(resource, index=index)
    stored, single = frozenset(row.transfer_syntax_uid for row in rows), len(rows) == 1
    form = stored_instances_form(ranges, stored, single=single)
    if form is None:
        form = instances_form(ranges, stored, await _common_targets(rows, index=index), single=single)
    return Files(rows, form, etag(resource.path, form, *(row.digest for row in rows)))


async def rows_of(resource: Resource, *, index: Index) -> list[InstanceRow]:
    """Find the instances of a study, a series, or the one that is named.

    Raises:
        NotFound: there is no such thing.
    """
    if resource.sop_instance_uid:
        return [await instance_of(resource, index=index)]
    return [
        row
        for series in await series_of(resource, index=index)
        for row in await index.series_instances(series.study_instance_uid, series.series_instance_uid)
    ]


async def frames(resource: Resource, numbers: Sequence[int], ranges: Ranges, *, places: Places, index: Index) -> Frames:
    """Find frames of an instance (PS3.18 10.4.1.1.6).

    Raises:
        NoSuchInstance, NoSuchFrame: one of them is not there.
        NotAcceptable: in none of the ways that the client accepts.
    """
    located = await place(resource, places=places)
    spans, single = content.spans(located, numbers), len(numbers) == 1
    form = stored_frames_form(ranges, located.transfer_syntax_uid, single=single)
    if form is None:
        located = await described(resource, index=index)
        spans = content.spans(located, numbers)
        form = frames_form(ranges, located.transfer_syntax_uid, possible.frame_targets(located), single=single)
    tag = etag(located.digest, *numbers, form.content_type, form.multipart)
    return Frames(located, spans, form, tag)


async def place(resource: Resource, *, places: Places) -> Located:
    """Find where an instance lies, without its metadata.

    Raises:
        NoSuchInstance: there is no such instance.
    """
    located = await places.place(resource)
    if located is None:
        raise NoSuchInstance
    return located


async def described(resource: Resource, *, index: Index) -> Located:
    """Find where an instance lies, with its metadata.

    Raises:
        NoSuchInstance: there is no such instance.
    """
    return located_of(await instance_of(resource, index=index))


async def locate(resource: Resource, detail: str, *, index: Index, events: Events, caller: Principal) -> Located:
    """Find where an instance lies and record the access: `detail` says to what, for the audit record.

    Raises:
        NoSuchInstance: there is no such instance.
    """
    async with recorded(Action.RETRIEVE, resource, detail, events=events, caller=caller) as tally:
        located = await described(resource, index=index)
        tally.instances = 1
    return located


async def each(rows: Sequence[InstanceRow], *, index: Index) -> AsyncIterator[Located]:
    """Locate instances one after another; those that are gone meanwhile are passed over."""
    for row in rows:
        found = await index.instance(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
        if found is not None:
            yield located_of(found)


def located_of(row: InstanceRow) -> Located:
    """A row with metadata and layout as what it takes to read the instance."""
    return Located(
        resource=Resource(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid),
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        digest=row.digest,
        size=row.size,
        layout=Layout.decode(row.layout),
        metadata=row.metadata,
    )


async def alike(rows: Sequence[InstanceRow], *, index: Index) -> list[Located]:
    """One of each kind among the instances: what holds of it, holds of the others of its transfer syntax and class."""
    kinds = {(row.transfer_syntax_uid, row.sop_class_uid, row.bits_allocated, row.rows is None): row for row in rows}
    return [located async for located in each(list(kinds.values()), index=index)]


async def _common_targets(rows: Sequence[InstanceRow], *, index: Index) -> tuple[str, ...]:
    possible_of_each = [
        (*possible.instance_targets(located), located.transfer_syntax_uid) for located in await alike(rows, index=index)
    ]
    first, *others = possible_of_each or [()]
    return tuple(syntax for syntax in first if all(syntax in other for other in others))
