"""QIDO-RS (PS3.18 10.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.archive.answering import answer, wants_metadata
from services.archive.handlers.recording import recorded
from services.archive.model import Resource
from services.archive.ports import Events, Index
from services.archive.searching import Search
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.dicom import dicom_json
from services.dicom.dicom_json import DicomJson
from services.store.model import Found


@dataclass(frozen=True, slots=True)
class Page:
    """Answers to a search; `more` says that the index has others after these."""

    results: list[DicomJson]
    more: bool


async def search(asked: Search, root: str, *, index: Index, events: Events, caller: Principal) -> Page:
    """Answer a QIDO-RS query.

    Args:
        asked: as `searching.parse_search` read it.
        root: address of the service, for Retrieve URLs.
    """
    query = asked.query
    named = Resource(query.study_instance_uid, query.series_instance_uid) if query.study_instance_uid else None
    async with recorded(Action.QUERY, named, str(query.level), events=events, caller=caller) as tally:
        found = await index.search(query)
        more = len(found) > asked.limit
        found = found[: asked.limit]
        metadata = await _metadata_of(found, index=index) if wants_metadata(asked) else {}
        tally.instances = len(found)
    return Page([answer(each, asked, root, metadata) for each in found], more)


async def _metadata_of(found: Sequence[Found], *, index: Index) -> dict[str, bytes]:
    """The metadata of the series in which these instances are, by SOP Instance UID."""
    rows = [each.instance for each in found if each.instance is not None]
    bodies: dict[str, bytes] = {}
    for study, series in {(row.study_instance_uid, row.series_instance_uid) for row in rows}:
        kept = await index.series_metadata(study, series)
        for body in kept.instances if kept else ():
            bodies[dicom_json.text(dicom_json.loads(body), "SOPInstanceUID")] = body
    return bodies
