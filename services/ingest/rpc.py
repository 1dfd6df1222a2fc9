"""The gRPC edge: one stream is one delivery (`proto/…/ingest.proto`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from services.chassis import rpc
from services.contracts import calls
from services.ingest.errors import ProtocolFault
from services.ingest.intake import Arrival, Front, Intake
from services.ingest.model import Announced, Outcome, Verdict

_OUTCOME = {
    Outcome.STORED: calls.StoreReply.OUTCOME_STORED,
    Outcome.UNCHANGED: calls.StoreReply.OUTCOME_UNCHANGED,
    Outcome.KEPT_FIRST: calls.StoreReply.OUTCOME_KEPT_FIRST,
    Outcome.REPLACED: calls.StoreReply.OUTCOME_STORED,
    Outcome.REFUSED: calls.StoreReply.OUTCOME_REFUSED,
    Outcome.UNAVAILABLE: calls.StoreReply.OUTCOME_UNAVAILABLE,
}


class Servicer(calls.IngestServicer):
    """Answers `Ingest.Store`."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def Store(  # noqa: N802  # as generated
        self, request_iterator: AsyncIterator[calls.StoreRequest], context: Any
    ) -> AsyncIterator[calls.StoreReply]:
        """Store what the stream brings; one reply an instance, in order, after its commit."""
        async with self._front.delivery(rpc.caller()) as intake:
            sequences: asyncio.Queue[str] = asyncio.Queue()
            reading = asyncio.create_task(self._read(request_iterator, intake, sequences))
            try:
                async for verdict in intake.verdicts():
                    yield _reply(sequences.get_nowait(), verdict)
                await reading
            finally:
                reading.cancel()

    async def _read(
        self, requests: AsyncIterator[calls.StoreRequest], intake: Intake, sequences: asyncio.Queue[str]
    ) -> None:
        arrival: Arrival | None = None
        try:
            async for request in requests:
                match request.WhichOneof("part"):
                    case "whole" if arrival is None:
                        whole = request.whole
                        arrival = intake.begin(Announced(whole.begin.sop_class_uid, whole.begin.sop_instance_uid))
                        await arrival.write(whole.file)
                        sequences.put_nowait(whole.begin.sequence)
                        await intake.offer(arrival)
                        arrival = None
                    case "begin" if arrival is None:
                        begin = request.begin
                        arrival = intake.begin(Announced(begin.sop_class_uid, begin.sop_instance_uid))
                        sequence = begin.sequence
                    case "chunk" if arrival is not None:
                        await arrival.write(request.chunk)
                    case "end" if arrival is not None:
                        sequences.put_nowait(sequence)
                        await intake.offer(arrival)
                        arrival = None
                    case _:
                        raise ProtocolFault
            if arrival is not None:
                raise ProtocolFault
        finally:
            if arrival is not None:
                await arrival.draft.discard()
            intake.close()


def _reply(sequence: str, verdict: Verdict) -> calls.StoreReply:
    return calls.StoreReply(
        sequence=sequence,
        outcome=_OUTCOME[verdict.outcome],
        failure_reason=verdict.status,
        reason_code=verdict.code,
        reason=verdict.reason,
        sop_class_uid=verdict.sop_class_uid,
        sop_instance_uid=verdict.sop_instance_uid,
    )
