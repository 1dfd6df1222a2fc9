"""What services of the mesh ask of a series, and its instances as stored (`proto/…/archive.proto`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from services.archive.handlers.finding import instance_of, instances_of
from services.archive.handlers.recording import recorded
from services.archive.handlers.retrieve import locate
from services.archive.model import Resource
from services.archive.ports import Events, Index, Objects
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.dicom import dicom_json
from services.store.model import InstanceRow, series_digest


@dataclass(frozen=True, slots=True)
class Description:
    """A series for a selection rule: digest of its instance set, how many, one of them as DICOM JSON."""

    digest: str
    instances: int
    attributes: bytes


async def describe(resource: Resource, *, index: Index, events: Events, caller: Principal) -> Description:
    """Describe a series for a selection rule: the instance in its middle stands for all.

    Raises:
        NoSuchSeries: there is no such series.
    """
    async with recorded(Action.QUERY, resource, "series", events=events, caller=caller) as tally:
        rows = await instances_of(resource, index=index)
        middle = rows[len(rows) // 2]
        row = await instance_of(Resource(*resource.series, middle.sop_instance_uid), index=index)
        tally.instances = len(rows)
    attributes = {
        tag: element
        for tag, element in dicom_json.loads(row.metadata).items()
        if "BulkDataURI" not in element and "InlineBinary" not in element
    }
    return Description(_digest(rows), len(rows), dicom_json.dumps(attributes))


async def list_instances(
    resource: Resource, *, index: Index, events: Events, caller: Principal
) -> tuple[str, list[InstanceRow]]:
    """Give the digest of a series' instance set and its instances by SOP Instance UID.

    Raises:
        NoSuchSeries: there is no such series.
    """
    async with recorded(Action.QUERY, resource, "instances", events=events, caller=caller) as tally:
        rows = sorted(await instances_of(resource, index=index), key=lambda row: row.sop_instance_uid)
        tally.instances = len(rows)
    return _digest(rows), rows


async def read(
    resource: Resource,
    *,
    header_only: bool,
    chunk: int,
    index: Index,
    objects: Objects,
    events: Events,
    caller: Principal,
) -> AsyncIterator[bytes]:
    """Read an instance as stored, in chunks; or only what is before Pixel Data.

    Raises:
        NoSuchInstance: there is no such instance.
    """
    found = await locate(resource, "header" if header_only else "instance", index=index, events=events, caller=caller)
    length = found.layout.header_bytes if header_only else None
    async for piece in objects.stream(found.digest, 0, length, chunk):
        yield piece


def _digest(rows: Collection[InstanceRow]) -> str:
    return series_digest((row.sop_instance_uid, row.digest) for row in rows)
