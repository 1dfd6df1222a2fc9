"""Spans hold what was declared, and no exception's text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

from services.chassis import telemetry
from services.chassis.faults import PassingFault
from services.chassis.telemetry import _FileSpanExporter
from tests.unit.chassis.spans import recorded

SECRET = "Doe Jane"


def test_a_failed_span_has_the_type_of_the_exception_and_not_its_message() -> None:
    with recorded() as exporter:
        with pytest.raises(ValueError, match=SECRET), telemetry.span("work", {"plexus.job.id": "abc"}):
            raise ValueError(SECRET)
        (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ValueError"
    assert span.events == ()
    assert SECRET not in span.to_json()


def test_a_fault_leaves_its_code() -> None:
    with recorded() as exporter:
        with pytest.raises(PassingFault), telemetry.span("work"):
            raise PassingFault("peer-unavailable", "a service did not answer")
        (span,) = exporter.get_finished_spans()
    assert (span.attributes or {})["plexus.reason_code"] == "peer-unavailable"


def test_a_trace_goes_on_behind_the_headers_that_carry_it() -> None:
    with recorded() as exporter:
        with telemetry.span("sender") as sender:
            headers = telemetry.inject()
        with telemetry.span("receiver", parent=telemetry.extract(headers)) as receiver:
            assert telemetry.trace_id() == f"{sender.get_span_context().trace_id:032x}"
        assert receiver.get_span_context().trace_id == sender.get_span_context().trace_id
        child = exporter.get_finished_spans()[-1]
    assert child.parent is not None
    assert child.parent.span_id == sender.get_span_context().span_id


def test_headers_without_a_trace_begin_a_new_one_even_inside_another() -> None:
    with recorded(), telemetry.span("outer") as outer, telemetry.span("inner", parent=telemetry.extract({})) as inner:
        assert inner.get_span_context().trace_id != outer.get_span_context().trace_id


def test_outside_a_trace_there_is_nothing_to_carry() -> None:
    assert telemetry.inject() == {}
    assert telemetry.trace_id() == ""


def test_the_span_file_has_a_whole_line_for_each_span(tmp_path: Path) -> None:
    path = tmp_path / "spans" / "tested.jsonl"
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_FileSpanExporter("tested", path)))
    tracer = provider.get_tracer("plexus")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner", attributes={"plexus.bytes": 3}):
        pass
    inner, outer = map(json.loads, path.read_text().splitlines())
    assert inner["parent_span_id"] == outer["span_id"]
    assert inner["trace_id"] == outer["trace_id"]
    assert outer["parent_span_id"] == ""
    assert inner["attributes"] == {"plexus.bytes": 3}
    assert (inner["name"], inner["service"], inner["kind"], inner["status"]) == ("inner", "tested", "internal", "unset")
    assert outer["start_unix_ns"] <= inner["start_unix_ns"] <= inner["end_unix_ns"] <= outer["end_unix_ns"]
