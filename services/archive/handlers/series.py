"""What services of the mesh ask of a series, and its instances as stored (`proto/…/archive.proto`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from services.archive.errors import NotDecodable
from services.archive.handlers.finding import instance_of, instances_of
from services.archive.handlers.recording import Accesses, recorded
from services.archive.handlers.retrieve import place
from services.archive.model import Located, Purpose, Resource
from services.archive.ports import Events, ImplicitWriter, Index, Objects, PixelDecoder, Places
from services.chassis.faults import Fault
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.dicom import dicom_json
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from services.store.model import InstanceRow, series_digest


@dataclass(frozen=True, slots=True)
class Description:
    """A series for a selection rule: digest of its instance set, how many, one of them as DICOM JSON.

    Attributes:
        revision: of this instance set; 0 if it has not settled.
    """

    digest: str
    instances: int
    attributes: bytes
    revision: int


async def describe(resource: Resource, *, index: Index, events: Events, caller: Principal) -> Description:
    """Describe a series for a selection rule: the instance in its middle stands for all.

    Raises:
        NoSuchSeries: there is no such series.
    """
    async with recorded(Action.QUERY, resource, "series", events=events, caller=caller) as tally:
        rows = await instances_of(resource, index=index)
        middle = rows[len(rows) // 2]
        row = await instance_of(Resource(*resource.series, middle.sop_instance_uid), index=index)
        digest = _digest(rows)
        revision = await index.settled_revision(*resource.series, digest)
        tally.instances = len(rows)
    attributes = {
        tag: element
        for tag, element in dicom_json.loads(row.metadata).items()
        if "BulkDataURI" not in element and "InlineBinary" not in element
    }
    return Description(digest, len(rows), dicom_json.dumps(attributes), revision)


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
    transfer_syntax_uid: str,
    chunk: int,
    places: Places,
    objects: Objects,
    accesses: Accesses,
    caller: Principal,
    decoder: PixelDecoder,
    writer: ImplicitWriter,
    purpose: Purpose | None = None,
) -> AsyncIterator[bytes]:
    """Read an instance in chunks: as stored, or decoded; or only what is before Pixel Data.

    Args:
        transfer_syntax_uid: Explicit or Implicit VR Little Endian; empty: as stored.
        purpose: what becomes of it; None: it stays with the caller.

    Raises:
        NoSuchInstance: there is no such instance.
        NotDecodable: not into this transfer syntax.
    """
    detail, decoded = "header" if header_only else "instance", b""
    try:
        found = await place(resource, places=places)
        as_stored = transfer_syntax_uid in ("", found.transfer_syntax_uid)
        if not as_stored:
            decoded = await _decoded(found, transfer_syntax_uid, objects=objects, decoder=decoder, writer=writer)
    except Fault as fault:
        await accesses.refuse(resource, detail, fault, caller=caller, purpose=purpose or Purpose())
        raise
    length = found.layout.header_bytes if header_only else found.size
    size = length if as_stored else len(decoded)
    await accesses.note(resource, detail, caller=caller, size=size, purpose=purpose or Purpose())
    if as_stored:
        async for piece in objects.stream(found.digest, 0, length, chunk):
            yield piece
    for start in range(0, len(decoded), chunk):
        yield decoded[start : start + chunk]


async def _decoded(
    found: Located, transfer_syntax_uid: str, *, objects: Objects, decoder: PixelDecoder, writer: ImplicitWriter
) -> bytes:
    if transfer_syntax_uid not in (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN):
        raise NotDecodable
    data = await objects.read(found.digest)
    if found.transfer_syntax_uid != EXPLICIT_LITTLE_ENDIAN:
        data = await decoder.instance(data)
    return await writer.implicit(data) if transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN else data


def _digest(rows: Collection[InstanceRow]) -> str:
    return series_digest((row.sop_instance_uid, row.digest) for row in rows)
