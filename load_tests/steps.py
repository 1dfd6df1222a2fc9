"""Where the time of a job went: its turnaround, from the settling of the series to the stored results, cut into steps.

The cuts are the beginnings and ends of spans (`services.contracts.telemetry`), so the steps of a job leave nothing out
and count nothing twice: their sum is the turnaround.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.contracts import telemetry as names
from services.launcher.spans import Span


class Step(StrEnum):
    """A part of the turnaround, in order."""

    SELECT = "select"
    """The worklist asks which models take the series, and makes the jobs."""
    WAIT_TURN = "wait for a turn"
    """So many jobs are in work at a time (PLEXUS_WORKLIST_JOBS_IN_WORK)."""
    WAIT_ANONYMISE = "wait for anonymise"
    FETCH = "fetch"
    """While the archive hands over instances."""
    DEIDENTIFY = "de-identify"
    """The rest of it: identifiers, digests, files in the work store, the way back in the database."""
    WAIT_INFERENCE = "wait for inference"
    ASSEMBLE = "assemble"
    """Headers, digests, decoding into the volume."""
    PRE = "pre"
    """From the volume to the model: the request, and what Triton hands to the model."""
    QUEUE = "Triton queue"
    COMPUTE = "compute"
    """The model, with what its package does before and after the network."""
    POST = "post"
    """From the model to the result file: the answer, its check, packing, writing."""
    WAIT_ENCODE = "wait for encode"
    ENCODE = "encode"
    """Reading the result, the way back, headers of the source, DICOM objects."""
    STORE = "store"


WAITS = (Step.WAIT_TURN, Step.WAIT_ANONYMISE, Step.WAIT_INFERENCE, Step.QUEUE, Step.WAIT_ENCODE)


class NotTraced(Exception):
    """The spans of a job do not tell the whole way; says which are missing."""


@dataclass(frozen=True, slots=True)
class Turnaround:
    """One job.

    Attributes:
        begin: when the series settled, seconds since 1970.
        seconds: of each step, apart from all others.
        walls: of the spans that hold other steps in them: de-identify with fetch, infer with queue and compute,
            encode with store.
    """

    begin: float
    seconds: Mapping[Step, float]
    walls: Mapping[str, float]

    @property
    def total(self) -> float:
        """From the settled series to the stored results."""
        return sum(self.seconds.values())

    @property
    def end(self) -> float:
        """When the results were stored, seconds since 1970."""
        return self.begin + self.total

    @property
    def overhead(self) -> float:
        """All but the model's own compute."""
        return self.total - self.seconds[Step.COMPUTE]


def turnaround(spans: Iterable[Span], job_id: str) -> Turnaround:
    """The steps of a job, of the spans of its trace.

    Raises:
        NotTraced: a span that the cuts need is not there.
    """
    trace = _Trace(spans, job_id)
    admit = trace.own(names.SPAN_ADMIT)
    deidentify, assemble = trace.own(names.SPAN_DEIDENTIFY), trace.own(names.SPAN_ASSEMBLE)
    infer, keep = trace.own(names.SPAN_INFER), trace.own(names.SPAN_KEEP_RESULT)
    encode = trace.above(trace.own("encode "), "consumer")
    store = trace.last(trace.below(encode, "Ingest/Store", service="encode"), "Ingest/Store")
    settle, select = trace.ancestor(admit, names.SPAN_SETTLE), trace.ancestor(admit, names.SPAN_SELECT)
    selected = min(select.end_unix_ns, admit.start_unix_ns)
    fetch = _covered(trace.below(deidentify, "plexus.archive.v1.Archive/ReadInstance", service="archive"), deidentify)
    queue, given = (
        _covered(trace.below(infer, name), infer) for name in (names.SPAN_TRITON_QUEUE, names.SPAN_TRITON_INPUT)
    )
    # Where nobody tells of Triton's times, all of the call counts as the model's.
    compute = _covered(trace.below(infer, names.SPAN_TRITON_COMPUTE), infer) or infer.duration_ns
    asked = min((span.start_unix_ns for span in trace.below(infer, "")), default=infer.start_unix_ns)
    inferring = trace.above(assemble, "consumer")
    cuts = {
        Step.SELECT: selected - settle.start_unix_ns,
        Step.WAIT_TURN: admit.end_unix_ns - selected,
        Step.WAIT_ANONYMISE: deidentify.start_unix_ns - admit.end_unix_ns,
        Step.FETCH: fetch,
        Step.DEIDENTIFY: deidentify.duration_ns - fetch,
        Step.WAIT_INFERENCE: inferring.start_unix_ns - deidentify.end_unix_ns,
        Step.ASSEMBLE: assemble.end_unix_ns - inferring.start_unix_ns,
        Step.PRE: asked - assemble.end_unix_ns + given,
        Step.QUEUE: queue,
        Step.COMPUTE: compute,
        Step.POST: keep.end_unix_ns - asked - queue - given - compute,
        Step.WAIT_ENCODE: encode.start_unix_ns - keep.end_unix_ns,
        Step.ENCODE: store.start_unix_ns - encode.start_unix_ns,
        Step.STORE: store.duration_ns,
    }
    return Turnaround(
        settle.start_unix_ns / 1e9,
        {step: nanoseconds / 1e9 for step, nanoseconds in cuts.items()},
        {
            "fetch and de-identify": deidentify.duration_ns / 1e9,
            "infer": infer.duration_ns / 1e9,
            "encode and store": (store.end_unix_ns - encode.start_unix_ns) / 1e9,
        },
    )


class _Trace:
    """The spans of one trace, by their kin. Of what was tried again, the last try counts: the others are waits."""

    def __init__(self, spans: Iterable[Span], job_id: str) -> None:
        self._spans = {span.span_id: span for span in spans}
        self._job_id = job_id

    def own(self, name: str) -> Span:
        """The last span of the job whose name begins so."""
        found = [
            span
            for span in self._spans.values()
            if span.name.startswith(name) and (span.attributes or {}).get(names.JOB_ID) == self._job_id
        ]
        return self.last(found, name)

    def last(self, found: Iterable[Span], name: str) -> Span:
        """The one that began last."""
        last = max(found, key=lambda span: span.start_unix_ns, default=None)
        if last is None:
            raise NotTraced(f"job {self._job_id}: no span '{name}'")
        return last

    def above(self, span: Span, kind: str) -> Span:
        """The nearest ancestor of a kind."""
        for ancestor in self._ancestors(span):
            if ancestor.kind == kind:
                return ancestor
        raise NotTraced(f"job {self._job_id}: no {kind} above '{span.name}'")

    def ancestor(self, span: Span, name: str) -> Span:
        """The nearest ancestor of a name."""
        for ancestor in self._ancestors(span):
            if ancestor.name == name:
                return ancestor
        raise NotTraced(f"job {self._job_id}: no span '{name}' above '{span.name}'")

    def below(self, above: Span, name: str, *, service: str = "") -> Iterator[Span]:
        """All descendants of a name ("" for any), of a service."""
        for span in self._spans.values():
            fits = (not name or span.name == name) and (not service or span.service == service)
            if fits and any(ancestor.span_id == above.span_id for ancestor in self._ancestors(span)):
                yield span

    def _ancestors(self, span: Span) -> Iterator[Span]:
        seen = {span.span_id}
        while span.parent_span_id in self._spans and span.parent_span_id not in seen:
            span = self._spans[span.parent_span_id]
            seen.add(span.span_id)
            yield span


def _covered(spans: Iterable[Span], within: Span) -> int:
    """Nanoseconds of `within` in which at least one of the spans was open."""
    covered, until = 0, within.start_unix_ns
    for span in sorted(spans, key=lambda one: one.start_unix_ns):
        start, end = max(span.start_unix_ns, until), min(span.end_unix_ns, within.end_unix_ns)
        covered += max(0, end - start)
        until = max(until, end)
    return covered


def per_minute(jobs: Sequence[Turnaround]) -> float:
    """Studies a minute, from the first settled series to the last stored result."""
    return 60 * len(jobs) / (max(job.end for job in jobs) - min(job.begin for job in jobs))
