"""The gRPC edge: what services of the hospital zone ask (`proto/…/archive.proto`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from services.archive.handlers import series as handlers
from services.archive.model import Resource
from services.archive.ports import Events, Index, Objects
from services.chassis import rpc
from services.contracts import calls


class Servicer(calls.ArchiveServicer):
    """Answers `plexus.archive.v1.Archive`."""

    def __init__(self, *, index: Index, objects: Objects, events: Events) -> None:
        self._index = index
        self._objects = objects
        self._events = events

    async def DescribeSeries(self, request: calls.SeriesRef, context: Any) -> calls.SeriesDescription:  # noqa: N802  # as generated
        """Attributes of a series for a selection rule."""
        found = await handlers.describe(_series(request), index=self._index, events=self._events, caller=rpc.caller())
        return calls.SeriesDescription(digest=found.digest, instances=found.instances, attributes=found.attributes)

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
        """The bytes of an instance as stored."""
        resource = Resource(request.study_instance_uid, request.series_instance_uid, request.sop_instance_uid)
        pieces = handlers.read(
            resource,
            header_only=request.header_only,
            chunk=calls.CHUNK_BYTES,
            index=self._index,
            objects=self._objects,
            events=self._events,
            caller=rpc.caller(),
        )
        async for piece in pieces:
            yield calls.Chunk(data=piece)


def _series(request: calls.SeriesRef) -> Resource:
    return Resource(request.study_instance_uid, request.series_instance_uid)
