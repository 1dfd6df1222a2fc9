"""Metadata (PS3.18 10.4.1.1.2): what is there, and the document of each series, prepared once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.archive.errors import NoSuchSeries
from services.archive.handlers.finding import instance_of, series_of
from services.archive.model import Document, Resource
from services.archive.negotiation import Form, metadata_form
from services.archive.ports import Documents, Index
from services.dicom.accept import MediaRange
from services.store.model import SeriesRow


@dataclass(frozen=True, slots=True)
class Described:
    """Metadata that is there, and its form.

    Attributes:
        version: changes when the metadata does.
        instances: how many.
        series: of which all instances are meant; none where one instance is.
        instance: the metadata of the one instance.
    """

    resource: Resource
    form: Form
    version: tuple[object, ...]
    instances: int
    series: Sequence[SeriesRow] = ()
    instance: bytes = b""


async def find(resource: Resource, ranges: Sequence[MediaRange], *, index: Index) -> Described:
    """Find the metadata of a study, a series or an instance.

    Raises:
        NotFound: there is no such thing.
        NotAcceptable: the client takes it neither as JSON nor as XML.
    """
    form = metadata_form(ranges, single=bool(resource.sop_instance_uid))
    if resource.sop_instance_uid:
        row = await instance_of(resource, index=index)
        return Described(resource, form, (row.digest,), 1, instance=row.metadata)
    found = await series_of(resource, index=index)
    version = tuple((each.series_instance_uid, each.change) for each in found)
    return Described(resource, form, version, sum(each.instances for each in found), found)


async def bodies(found: Described, root: str, *, index: Index, documents: Documents) -> AsyncIterator[bytes]:
    """Give a JSON array of the instances of each series, one after another, with BulkDataURIs under `root`."""
    if not found.series:
        alone = Document(0, b"[%b]" % found.instance)
        yield alone.at(f"{root}/{Resource(*found.resource.series).path}")
    for row in found.series:
        yield await _body(row, root, index=index, documents=documents)


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


async def _body(row: SeriesRow, root: str, *, index: Index, documents: Documents) -> bytes:
    resource = Resource(row.study_instance_uid, row.series_instance_uid)
    document = await documents.get(row.study_instance_uid, row.series_instance_uid, row.change)
    if document is None:
        document = await prepare(resource, index=index, documents=documents)
    return document.at(f"{root}/{resource.path}")
