"""What this service answers by gRPC: the way back, for services of the hospital zone."""

from __future__ import annotations

import grpc.aio

from services.anonymise.handlers import releasing as handlers
from services.anonymise.ports import Releases
from services.chassis import rpc
from services.contracts import calls


class Airlock(calls.AnonymiseServicer):
    """`plexus.anonymise.v1.Anonymise`."""

    def __init__(self, releases: Releases) -> None:
        self._releases = releases

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
        )
