"""Where the time of a request went inside Triton, from its statistics: it is not asked to trace (ADR 19)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from services.chassis import telemetry
from services.contracts import telemetry as names

_DEADLINE_SECONDS = 5.0
_ASKED = 20
_AGAIN_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Totals:
    """What Triton has counted of a model since it was loaded: requests that succeeded, and their times."""

    requests: int
    queue_ns: int
    input_ns: int
    compute_ns: int
    output_ns: int

    def since(self, before: Totals) -> Totals:
        """What came after `before`."""
        return Totals(*(now - then for now, then in zip(astuple(self), astuple(before), strict=True)))

    def mean(self) -> Totals:
        """The same for one request.

        Raises:
            ZeroDivisionError: there was none.
        """
        return Totals(1, *(total // self.requests for total in astuple(self)[1:]))


async def totals(client: InferenceServerClient, model: str) -> Totals | None:
    """The counts of a model that is served; None where Triton tells none."""
    try:
        answer = await client.get_inference_statistics(model, client_timeout=_DEADLINE_SECONDS)
    except InferenceServerException:  # whoever asked the model hears of it; times are not worth a failure
        return None
    told = [one.inference_stats for one in answer.model_stats]
    return Totals(
        sum(one.success.count for one in told),
        sum(one.queue.ns for one in told),
        sum(one.compute_input.ns for one in told),
        sum(one.compute_infer.ns for one in told),
        sum(one.compute_output.ns for one in told),
    )


async def _since(client: InferenceServerClient, model: str, before: Totals) -> Totals | None:
    """What came after `before`: something, as soon as Triton has counted it, which may be a moment after its answer."""
    for _ in range(_ASKED):
        now = await totals(client, model)
        if now is None or now.requests < before.requests:  # loaded anew meanwhile: it counts from 0
            return None
        if now.requests > before.requests:
            return now.since(before)
        await asyncio.sleep(_AGAIN_SECONDS)
    return None


@asynccontextmanager
async def spans(client: InferenceServerClient, model: str) -> AsyncIterator[None]:
    """Writes the spans of the request that the body makes, when it was answered.

    Statistics know models, not requests. Was it alone, the times are its own; else they are the mean of those that
    ended meanwhile (`MEAN_OF` says of how many), and what is left of its time is the queue.
    """
    before, began = await totals(client, model), time.time_ns()
    yield
    ended = time.time_ns()
    meanwhile = await _since(client, model, before) if before else None
    if meanwhile is None:
        return
    mean, attributes = meanwhile.mean(), {names.MEAN_OF: meanwhile.requests}
    at = ended
    for name, took in (
        (names.SPAN_TRITON_OUTPUT, mean.output_ns),
        (names.SPAN_TRITON_COMPUTE, mean.compute_ns),
        (names.SPAN_TRITON_INPUT, mean.input_ns),
        (names.SPAN_TRITON_QUEUE, mean.queue_ns if meanwhile.requests == 1 else at - began),
    ):
        start = max(began, at - took)
        telemetry.took(name, start, at, attributes)
        at = start
