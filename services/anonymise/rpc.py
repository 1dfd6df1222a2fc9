"""What this service answers by gRPC: the way back, for services of the hospital zone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from services.anonymise.errors import Reason, RefusedError, UnreadableRequestError
from services.anonymise.handlers import releasing as handlers
from services.anonymise.handlers.restoring import restore
from services.anonymise.ports import Releases, SourceArchive
from services.chassis import rpc
from services.contracts import calls


class Airlock(calls.AnonymiseServicer):
    """`plexus.anonymise.v1.Anonymise`."""

    def __init__(self, releases: Releases, archive: SourceArchive, *, most_bytes: int) -> None:
        self._releases = releases
        self._archive = archive
        self._most = most_bytes

    async def Reidentify(  # noqa: N802  # the name of the call
        self,
        request: calls.ReidentifyRequest,
        context: grpc.aio.ServicerContext[calls.ReidentifyRequest, calls.Original],
    ) -> calls.Original:
        """Original identifiers of a released job."""
        original = await handlers.reidentify(request.job_id, principal=rpc.caller(), releases=self._releases)
        return calls.Original(
            study_instance_uid=original.study_instance_uid,
            series_instance_uid=original.series_instance_uid,
            revision=original.revision,
            supersedes=original.supersedes,
            sop_instance_uids=original.sop_instance_uids,
            inputs=[
                calls.OriginalInput(
                    name=one.name,
                    study_instance_uid=one.study_instance_uid,
                    series_instance_uid=one.series_instance_uid,
                    sop_instance_uids=one.sop_instance_uids,
                )
                for one in original.inputs
            ],
        )

    async def Restore(  # noqa: N802  # as above
        self, request_iterator: AsyncIterator[calls.RestoreRequest], context: Any
    ) -> AsyncIterator[calls.Restored]:
        """An object that a tool made of a job's input, with its original references."""
        job_id, data = "", bytearray()
        async for request in request_iterator:
            if request.WhichOneof("part") == "job_id" and not job_id:
                job_id = request.job_id
            elif request.WhichOneof("part") == "chunk" and job_id:
                data += request.chunk
            else:
                raise UnreadableRequestError
            if len(data) > self._most:
                raise RefusedError(Reason.TOO_LARGE)
        home = await restore(
            job_id, bytes(data), principal=rpc.caller(), archive=self._archive, releases=self._releases
        )
        for start in range(0, len(home), calls.CHUNK_BYTES):
            yield calls.Restored(data=home[start : start + calls.CHUNK_BYTES])
