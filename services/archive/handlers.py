"""The archive's use cases. Each access says its audit record before it gives anything away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.archive.answering import answer, wants_metadata
from services.archive.errors import NoSuchInstance, NoSuchSeries, NoSuchStudy, NotFound
from services.archive.model import Document, Located, Resource, access, etag
from services.archive.ports import Documents, Events, Index, Objects
from services.archive.searching import Search
from services.chassis import telemetry
from services.chassis.faults import Fault
from services.chassis.principal import Principal
from services.contracts.events import Action, Outcome
from services.dicom import dicom_json
from services.dicom.dicom_json import DicomJson
from services.dicom.layout import Layout
from services.store.model import Found, InstanceRow, SeriesRow, series_digest


@dataclass(frozen=True, slots=True)
class Page:
    """Answers to a search; `more` says that the index has others after these."""

    results: list[DicomJson]
    more: bool


@dataclass(frozen=True, slots=True)
class MetadataAnswer:
    """Metadata as it goes out; `body` is None when the client has this version already."""

    etag: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Description:
    """A series for a selection rule: digest of its instance set, how many, one of them as DICOM JSON."""

    digest: str
    instances: int
    attributes: bytes


async def search(asked: Search, root: str, *, index: Index, events: Events, caller: Principal) -> Page:
    """Answer a QIDO-RS query.

    Args:
        asked: as `searching.parse_search` read it.
        root: address of the service, for Retrieve URLs.
    """
    query = asked.query
    named = Resource(query.study_instance_uid, query.series_instance_uid) if query.study_instance_uid else None
    async with _recorded(Action.QUERY, named, str(query.level), events=events, caller=caller) as tally:
        found = await index.search(query)
        more = len(found) > asked.limit
        found = found[: asked.limit]
        metadata = await _metadata_of(found, index=index) if wants_metadata(asked) else {}
        tally.instances = len(found)
    return Page([answer(each, asked, root, metadata) for each in found], more)


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
    async with _recorded(Action.RETRIEVE, resource, "metadata", events=events, caller=caller) as tally:
        if resource.sop_instance_uid:
            row = await _instance(resource, index=index)
            tally.instances = 1
            version = etag(resource.path, row.digest)
            alone = Document(0, b"[%b]" % row.metadata)
            url = f"{root}/{Resource(*_names(resource)).path}"
            return MetadataAnswer(version, None if known(version) else alone.at(url))
        found = await _series_of(resource, index=index)
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


async def retrieve(resource: Resource, *, index: Index, events: Events, caller: Principal) -> list[InstanceRow]:
    """Find the instances of a study, a series, or the one that is named, to be sent whole (PS3.18 10.4.1.1.1).

    Raises:
        NotFound: there is no such thing.
    """
    async with _recorded(Action.RETRIEVE, resource, "instances", events=events, caller=caller) as tally:
        rows: list[InstanceRow] = []
        if resource.sop_instance_uid:
            rows.append(await _instance(resource, index=index))
        else:
            for series in await _series_of(resource, index=index):
                rows += await index.series_instances(series.study_instance_uid, series.series_instance_uid)
        tally.instances = len(rows)
    return rows


async def locate(resource: Resource, detail: str, *, index: Index, events: Events, caller: Principal) -> Located:
    """Find where an instance lies, to send a part of it: `detail` says which, for the audit record.

    Raises:
        NoSuchInstance: there is no such instance.
    """
    async with _recorded(Action.RETRIEVE, resource, detail, events=events, caller=caller) as tally:
        row = await _instance(resource, index=index)
        tally.instances = 1
    return Located(
        resource=resource,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        digest=row.digest,
        size=row.size,
        layout=Layout.decode(row.layout),
        metadata=row.metadata,
    )


async def describe(resource: Resource, *, index: Index, events: Events, caller: Principal) -> Description:
    """Describe a series for a selection rule: the instance in its middle stands for all.

    Raises:
        NoSuchSeries: there is no such series.
    """
    async with _recorded(Action.QUERY, resource, "series", events=events, caller=caller) as tally:
        rows = await _instances(resource, index=index)
        middle = rows[len(rows) // 2]
        row = await _instance(Resource(*_names(resource), middle.sop_instance_uid), index=index)
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
    async with _recorded(Action.QUERY, resource, "instances", events=events, caller=caller) as tally:
        rows = sorted(await _instances(resource, index=index), key=lambda row: row.sop_instance_uid)
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


async def _metadata_of(found: Sequence[Found], *, index: Index) -> dict[str, bytes]:
    """The metadata of the series in which these instances are, by SOP Instance UID."""
    rows = [each.instance for each in found if each.instance is not None]
    bodies: dict[str, bytes] = {}
    for study, series in {(row.study_instance_uid, row.series_instance_uid) for row in rows}:
        kept = await index.series_metadata(study, series)
        for body in kept.instances if kept else ():
            bodies[dicom_json.text(dicom_json.loads(body), "SOPInstanceUID")] = body
    return bodies


async def _series_body(row: SeriesRow, root: str, *, index: Index, documents: Documents) -> bytes:
    resource = Resource(row.study_instance_uid, row.series_instance_uid)
    document = await documents.get(row.study_instance_uid, row.series_instance_uid, row.change)
    if document is None:
        document = await prepare(resource, index=index, documents=documents)
    return document.at(f"{root}/{resource.path}")


async def _series_of(resource: Resource, *, index: Index) -> Sequence[SeriesRow]:
    if not resource.series_instance_uid:
        found = await index.study_series(resource.study_instance_uid)
        if not found:
            raise NoSuchStudy
        return found
    row = await index.series(resource.study_instance_uid, resource.series_instance_uid)
    if row is None:
        raise NoSuchSeries
    return [row]


async def _instances(resource: Resource, *, index: Index) -> list[InstanceRow]:
    rows = await index.series_instances(*_names(resource))
    if not rows:
        raise NoSuchSeries
    return rows


async def _instance(resource: Resource, *, index: Index) -> InstanceRow:
    row = await index.instance(*_names(resource), resource.sop_instance_uid)
    if row is None:
        raise NoSuchInstance
    return row


def _names(resource: Resource) -> tuple[str, str]:
    return resource.study_instance_uid, resource.series_instance_uid


def _digest(rows: Collection[InstanceRow]) -> str:
    return series_digest((row.sop_instance_uid, row.digest) for row in rows)


@dataclass(slots=True)
class _Tally:
    """How many instances an access touched; the audit record says it."""

    instances: int = 0


@asynccontextmanager
async def _recorded(
    action: Action, resource: Resource | None, detail: str, *, events: Events, caller: Principal
) -> AsyncIterator[_Tally]:
    """Say the audit record of what happens inside, also when it fails."""
    tally, outcome = _Tally(), Outcome.SUCCESS
    fault: Fault | None = None
    try:
        yield tally
    except Fault as raised:
        fault, outcome = raised, Outcome.REFUSED if isinstance(raised, NotFound) else Outcome.FAILURE
    record = access(
        action,
        caller,
        resource,
        trace_id=telemetry.trace_id(),
        detail=detail,
        instances=tally.instances,
        outcome=outcome,
        reason_code=fault.code if fault else "",
    )
    await events.say(record, message_id=record.record_id)
    if fault is not None:
        raise fault
