"""One trace leads from the association to the stored SEG, across DIMSE, gRPC and NATS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mesh import Site

Edge = tuple[str, str]

EDGES: tuple[Edge, ...] = (
    ("bridge", "ingest"),  # gRPC Store, under the association
    ("ingest", "worklist"),  # series.settled
    ("worklist", "archive"),  # gRPC DescribeSeries
    ("worklist", "anonymise"),  # job.requested
    ("anonymise", "archive"),  # gRPC ListInstances, ReadInstance
    ("anonymise", "inference"),  # job.released
    ("inference", "encode"),  # job.inferred
    ("encode", "anonymise"),  # gRPC Reidentify
    ("encode", "archive"),  # gRPC ReadInstance
    ("encode", "ingest"),  # gRPC Store
    ("encode", "worklist"),  # job.completed
)


@pytest.fixture(scope="module")
def spans(site: Site, sample_job: dict[str, Any]) -> list[dict[str, Any]]:
    """Every span of the trace of the sample's job, once the last one is written."""

    def read() -> list[dict[str, Any]]:
        lines = (line for path in Path(site.data / "spans").glob("*.jsonl") for line in path.read_text().splitlines())
        found = [span for line in lines if (span := json.loads(line))["trace_id"] == sample_job["trace_id"]]
        services = {span["service"] for span in found}
        complete = {service for edge in EDGES for service in edge} <= services
        # each service writes its own, in batches, and the association's when it ends
        return found if complete and len(_roots(found)) == 1 else []

    found: list[dict[str, Any]] = site.until(read)
    return found


def _roots(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = {span["span_id"] for span in spans}
    return [span for span in spans if span["parent_span_id"] not in known]


def _edges(spans: list[dict[str, Any]]) -> set[Edge]:
    by_id = {span["span_id"]: span for span in spans}
    return {
        (by_id[span["parent_span_id"]]["service"], span["service"])
        for span in spans
        if span["parent_span_id"] in by_id and by_id[span["parent_span_id"]]["service"] != span["service"]
    }


@pytest.mark.parametrize("edge", EDGES, ids=" to ".join)
def test_the_trace_has_the_edge(spans: list[dict[str, Any]], edge: Edge) -> None:
    assert edge in _edges(spans)


def test_the_trace_has_no_edge_into_the_compute_zone_but_the_airlock(spans: list[dict[str, Any]]) -> None:
    into = {(a, b) for a, b in _edges(spans) if b == "inference"}
    assert into == {("anonymise", "inference")}


def test_the_root_is_the_association(spans: list[dict[str, Any]]) -> None:
    assert [(root["service"], root["name"]) for root in _roots(spans)] == [("bridge", "dimse association")]


def test_the_trace_tells_the_steps_inside_triton(spans: list[dict[str, Any]]) -> None:
    runs = [span["span_id"] for span in spans if span["name"] == "inference infer"]
    assert runs
    for run in runs:
        inside = [span["name"] for span in spans if span["parent_span_id"] == run]
        assert sorted(inside) == ["triton compute", "triton input", "triton output", "triton queue"]


def test_every_slice_has_a_span_in_bridge_and_in_ingest(spans: list[dict[str, Any]]) -> None:
    names = [span["name"] for span in spans]
    assert names.count("dimse C-STORE") == 100
    assert names.count("ingest store") >= 100


def test_no_span_of_a_completed_job_failed(spans: list[dict[str, Any]]) -> None:
    assert [span["name"] for span in spans if span["status"] == "error"] == []


def test_spans_hold_declared_attributes_only(spans: list[dict[str, Any]]) -> None:
    from services.contracts import telemetry

    declared = {value for name, value in vars(telemetry).items() if name.isupper()}
    prefixes = ("http.request.method", "http.route", "http.response.", "rpc.", "messaging.")
    undeclared = {
        name for span in spans for name in span["attributes"] if name not in declared and not name.startswith(prefixes)
    }
    assert undeclared == set()
