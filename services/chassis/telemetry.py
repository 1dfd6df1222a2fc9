"""Traces and metrics. One span function, so that no exception text and no undeclared value gets into a span."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import context, metrics, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from services.chassis.faults import Fault

_tracer = trace.get_tracer("plexus")
_EXPORT_EVERY_MS = 250
"""Often enough that `plexus trace` shows a job as soon as it is done."""
_SECONDS_VIEW = View(
    instrument_name="*_seconds",
    # The default boundaries are made for milliseconds: every one of our times would fall into the first bucket.
    aggregation=ExplicitBucketHistogramAggregation(
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
    ),
)


class Telemetry:
    """The telemetry of a process; `shutdown` writes what is still in memory."""

    def __init__(self, service: str, *, spans_file: Path | None, otlp_endpoint: str | None) -> None:
        resource = Resource.create({"service.name": service, "service.namespace": "plexus"})
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        if spans_file:
            self._add(_FileSpanExporter(service, spans_file))
        if otlp_endpoint:
            self._add(OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces"))
        trace.set_tracer_provider(self._traces)
        self._metrics = MeterProvider(
            [PrometheusMetricReader()], resource=resource, shutdown_on_exit=False, views=[_SECONDS_VIEW]
        )
        metrics.set_meter_provider(self._metrics)

    def _add(self, exporter: SpanExporter) -> None:
        self._traces.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_EVERY_MS))

    def shutdown(self) -> None:
        """Write and send what is left."""
        self._traces.shutdown()
        self._metrics.shutdown()


class _FileSpanExporter(SpanExporter):
    """One JSON object a line for each span, appended whole."""

    def __init__(self, service: str, path: Path) -> None:
        self._service, self._path = service, path
        path.parent.mkdir(parents=True, exist_ok=True)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = "".join(json.dumps(self._line(span)) + "\n" for span in spans)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(lines)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is open between exports."""

    def _line(self, span: ReadableSpan) -> dict[str, object]:
        own = span.get_span_context()
        assert own is not None  # noqa: S101  # an ended span has a context; the type says it may not
        return {
            "trace_id": trace.format_trace_id(own.trace_id),
            "span_id": trace.format_span_id(own.span_id),
            "parent_span_id": trace.format_span_id(span.parent.span_id) if span.parent else "",
            "name": span.name,
            "service": self._service,
            "kind": span.kind.name.lower(),
            "start_unix_ns": span.start_time,
            "end_unix_ns": span.end_time,
            "status": span.status.status_code.name.lower(),
            "attributes": dict(span.attributes or {}),
            "links": [trace.format_trace_id(link.context.trace_id) for link in span.links],
        }


@contextmanager
def span(
    name: str,
    attributes: Mapping[str, str | int | float | bool] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: context.Context | None = None,
) -> Iterator[Span]:
    """A span around the body. An exception marks it as failed by type and code; its text is not kept.

    Args:
        name: a fixed name, see `services.contracts.telemetry`.
        attributes: declared names with values that hold no PHI.
        kind: as OpenTelemetry means it.
        parent: a context from `extract`; without it, the current one.
    """
    with _tracer.start_as_current_span(
        name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            if isinstance(error, Fault):
                current.set_attribute("plexus.reason_code", error.code)
            raise


def took(name: str, start_unix_ns: int, end_unix_ns: int, attributes: Mapping[str, int]) -> None:
    """A span below the current one of what happened elsewhere, written by its times, nanoseconds since 1970."""
    _tracer.start_span(name, attributes=attributes, start_time=start_unix_ns).end(max(start_unix_ns, end_unix_ns))


def inject() -> dict[str, str]:
    """The current trace context as W3C headers (`traceparent`); empty outside a trace."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


def extract(headers: Mapping[str, str] | None) -> context.Context:
    """The trace context that `headers` carry; `span(..., parent=...)` continues it."""
    return propagate.extract(dict(headers or {}), context=context.Context())


def trace_id() -> str:
    """The current trace id, hex, or an empty string."""
    current = trace.get_current_span().get_span_context()
    return trace.format_trace_id(current.trace_id) if current.is_valid else ""
