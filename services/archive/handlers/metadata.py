"""Metadata (PS3.18 10.4.1.1.2), prepared once for each series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.archive.errors import NoSuchSeries
from services.archive.handlers.finding import instance_of, series_of
from services.archive.handlers.recording import recorded
from services.archive.model import Document, Resource, etag
from services.archive.ports import Documents, Events, Index
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.store.model import SeriesRow


@dataclass(frozen=True, slots=True)
class MetadataAnswer:
    """Metadata as it goes out; `body` is None when the client has this version already."""

    etag: str
    body: bytes | None


async def metadata(
    resource: Resource,
    root: str,
    known: Callable[[str], bool],
    *,
    index: Index,
    documents: Documents,
    events: Events,
    caller: Principal,
) -> MetadataAnswer:
    """Give the metadata of a study, a series or an instance (PS3.18 10.4.1.1.2).

    Args:
        resource: what is asked for.
        root: address of the service, for BulkDataURIs.
        known: says whether the client has the version of this entity tag.

    Raises:
        NotFound: there is no such thing.
    """
    async with recorded(Action.RETRIEVE, resource, "metadata", events=events, caller=caller) as tally:
        if resource.sop_instance_uid:
            row = await instance_of(resource, index=index)
            tally.instances = 1
            version = etag(resource.path, row.digest)
            alone = Document(0, b"[%b]" % row.metadata)
            url = f"{root}/{Resource(*resource.series).path}"
            return MetadataAnswer(version, None if known(version) else alone.at(url))
        found = await series_of(resource, index=index)
        tally.instances = sum(each.instances for each in found)
        version = etag(resource.path, *((each.series_instance_uid, each.change) for each in found))
        if known(version):
            return MetadataAnswer(version, None)
        parts = [await _series_body(each, root, index=index, documents=documents) for each in found]
        body = parts[0] if len(parts) == 1 else b"[%b]" % b",".join(part[1:-1] for part in parts)
        return MetadataAnswer(version, body)


async def prepare(resource: Resource, *, index: Index, documents: Documents) -> Document:
    """Make and keep the metadata document of a series. Idempotent.

    Raises:
        NoSuchSeries: there is no such series.
    """
    kept = await index.series_metadata(resource.study_instance_uid, resource.series_instance_uid)
    if kept is None:
        raise NoSuchSeries
    document = Document(kept.change, b"[%b]" % b",".join(kept.instances))
    await documents.put(resource.study_instance_uid, resource.series_instance_uid, document)
    return document


async def _series_body(row: SeriesRow, root: str, *, index: Index, documents: Documents) -> bytes:
    resource = Resource(row.study_instance_uid, row.series_instance_uid)
    document = await documents.get(row.study_instance_uid, row.series_instance_uid, row.change)
    if document is None:
        document = await prepare(resource, index=index, documents=documents)
    return document.at(f"{root}/{resource.path}")
