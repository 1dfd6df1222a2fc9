"""QIDO-RS (PS3.18 10.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.archive.answering import Shape, answer, shape_of, wants_above, wants_metadata
from services.archive.handlers.recording import recorded
from services.archive.model import Resource
from services.archive.ports import Events, Index
from services.archive.searching import Search
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.dicom.dicom_json import DicomJson
from services.store.model import Found


@dataclass(frozen=True, slots=True)
class Page:
    """Answers to a search, in a shape; `more` says that the index has others after these."""

    found: Sequence[Found]
    shape: Shape
    more: bool

    @property
    def results(self) -> list[DicomJson]:
        """The answers as DICOM JSON."""
        return [answer(each, self.shape) for each in self.found]


async def search(asked: Search, root: str, *, index: Index, events: Events, caller: Principal) -> Page:
    """Find what answers a QIDO-RS query.

    Args:
        asked: as `searching.parse_search` read it.
        root: address of the service, for Retrieve URLs.
    """
    query = replace(asked.query, metadata=wants_metadata(asked), above=wants_above(asked))
    named = Resource(query.study_instance_uid, query.series_instance_uid) if query.study_instance_uid else None
    async with recorded(Action.QUERY, named, str(query.level), events=events, caller=caller) as tally:
        found = await index.search(query)
        more = len(found) > asked.limit
        found = found[: asked.limit]
        tally.instances = len(found)
    return Page(found, shape_of(asked, root), more)
