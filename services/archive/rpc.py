"""The gRPC edge: what services of the hospital zone ask (`proto/…/archive.proto`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from services.archive.errors import InvalidQuery
from services.archive.handlers import bridged
from services.archive.handlers import series as handlers
from services.archive.handlers.bridged import Held, Rank
from services.archive.handlers.recording import Accesses
from services.archive.model import Purpose, Resource
from services.archive.ports import Events, Holdings, ImplicitWriter, Index, Objects, PixelDecoder, Places
from services.chassis import rpc
from services.contracts import calls
from services.dicom.dicom_json import dumps

_RANKS: Final[dict[int, Rank]] = {
    calls.LEVEL_PATIENT: Rank.PATIENT,
    calls.LEVEL_STUDY: Rank.STUDY,
    calls.LEVEL_SERIES: Rank.SERIES,
    calls.LEVEL_IMAGE: Rank.IMAGE,
}
_HOLDINGS: Final = {
    Held.HELD: calls.CheckReply.HOLDING_HELD,
    Held.ABSENT: calls.CheckReply.HOLDING_ABSENT,
    Held.OTHER_CLASS: calls.CheckReply.HOLDING_OTHER_CLASS,
    Held.DAMAGED: calls.CheckReply.HOLDING_DAMAGED,
}
_MATCHES_A_MESSAGE: Final = 50
_PLACES_A_MESSAGE: Final = 500


class Servicer(calls.ArchiveServicer):
    """Answers `plexus.archive.v1.Archive`."""

    def __init__(
        self,
        *,
        index: Index,
        holdings: Holdings,
        places: Places,
        objects: Objects,
        events: Events,
        accesses: Accesses,
        decoder: PixelDecoder,
        writer: ImplicitWriter,
        max_results: int,
    ) -> None:
        self._index = index
        self._holdings = holdings
        self._places = places
        self._objects = objects
        self._events = events
        self._accesses = accesses
        self._decoder = decoder
        self._writer = writer
        self._max_results = max_results

    async def DescribeSeries(self, request: calls.SeriesRef, context: Any) -> calls.SeriesDescription:  # noqa: N802  # as generated
        """Attributes of a series for a selection rule."""
        found = await handlers.describe(_series(request), index=self._index, events=self._events, caller=rpc.caller())
        return calls.SeriesDescription(
            digest=found.digest, instances=found.instances, attributes=found.attributes, revision=found.revision
        )

    async def ListInstances(self, request: calls.SeriesRef, context: Any) -> calls.InstanceList:  # noqa: N802  # as generated
        """The instances of a series, by SOP Instance UID."""
        digest, rows = await handlers.list_instances(
            _series(request), index=self._index, events=self._events, caller=rpc.caller()
        )
        return calls.InstanceList(
            digest=digest,
            instances=[
                calls.InstanceRef(
                    sop_instance_uid=row.sop_instance_uid,
                    sop_class_uid=row.sop_class_uid,
                    transfer_syntax_uid=row.transfer_syntax_uid,
                    digest=row.digest,
                    bytes=row.size,
                )
                for row in rows
            ],
        )

    async def ReadInstance(  # noqa: N802  # as generated
        self, request: calls.ReadInstanceRequest, context: Any
    ) -> AsyncIterator[calls.Chunk]:
        """The bytes of an instance, as stored or decoded."""
        resource = Resource(request.study_instance_uid, request.series_instance_uid, request.sop_instance_uid)
        pieces = handlers.read(
            resource,
            header_only=request.header_only,
            transfer_syntax_uid=request.transfer_syntax_uid,
            chunk=calls.CHUNK_BYTES,
            places=self._places,
            objects=self._objects,
            accesses=self._accesses,
            caller=rpc.caller(),
            decoder=self._decoder,
            writer=self._writer,
            purpose=Purpose.towards(request.destination, request.destination_address),
        )
        async for piece in pieces:
            yield calls.Chunk(data=piece)

    async def Find(self, request: calls.FindRequest, context: Any) -> AsyncIterator[calls.FindReply]:  # noqa: N802  # as generated
        """What answers a C-FIND."""
        inquiry = bridged.Inquiry(
            _rank(request.level), tuple((key.name, key.value) for key in request.keys), frozenset(request.include)
        )
        matches = await bridged.find(
            inquiry, max_results=self._max_results, index=self._index, events=self._events, caller=rpc.caller()
        )
        yield calls.FindReply(warnings=matches.warnings, more=matches.more)
        for start in range(0, len(matches.found), _MATCHES_A_MESSAGE):
            yield calls.FindReply(matches=map(dumps, matches.found[start : start + _MATCHES_A_MESSAGE]))

    async def Locate(  # noqa: N802  # as generated
        self, request: calls.LocateRequest, context: Any
    ) -> AsyncIterator[calls.LocateReply]:
        """The instances that a C-MOVE or C-GET names."""
        named = bridged.Named(
            _rank(request.level),
            request.patient_id,
            tuple(request.study_instance_uids),
            tuple(request.series_instance_uids),
            tuple(request.sop_instance_uids),
        )
        rows = await bridged.locate(
            named, index=self._index, holdings=self._holdings, events=self._events, caller=rpc.caller()
        )
        for start in range(0, len(rows), _PLACES_A_MESSAGE):
            yield calls.LocateReply(
                places=[
                    calls.Place(
                        study_instance_uid=row.study_instance_uid,
                        series_instance_uid=row.series_instance_uid,
                        sop_instance_uid=row.sop_instance_uid,
                        sop_class_uid=row.sop_class_uid,
                        transfer_syntax_uid=row.transfer_syntax_uid,
                        bytes=row.size,
                    )
                    for row in rows[start : start + _PLACES_A_MESSAGE]
                ]
            )

    async def Check(self, request: calls.CheckRequest, context: Any) -> calls.CheckReply:  # noqa: N802  # as generated
        """Whether instances are held durably."""
        held = await bridged.check(
            [(each.sop_class_uid, each.sop_instance_uid) for each in request.references],
            holdings=self._holdings,
            objects=self._objects,
            events=self._events,
            caller=rpc.caller(),
        )
        return calls.CheckReply(holdings=[_HOLDINGS[each] for each in held])


def _series(request: calls.SeriesRef) -> Resource:
    return Resource(request.study_instance_uid, request.series_instance_uid)


def _rank(level: int) -> Rank:
    try:
        return _RANKS[level]
    except KeyError:
        raise InvalidQuery("level") from None
