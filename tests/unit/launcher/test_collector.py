"""The local OTLP receiver."""

from __future__ import annotations

import gzip
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.launcher import collector, spans

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
REQUEST = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "triton"}}]},
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": TRACE.upper(),
                            "spanId": SPAN,
                            "parentSpanId": PARENT,
                            "name": "compute",
                            "kind": 2,
                            "startTimeUnixNano": "1000",
                            "endTimeUnixNano": "3000",
                            "status": {"code": 2},
                            "attributes": [
                                {"key": "count", "value": {"intValue": "3"}},
                                {"key": "names", "value": {"arrayValue": {"values": [{"stringValue": "a"}]}}},
                            ],
                        }
                    ]
                }
            ],
        }
    ]
}


def _protobuf() -> bytes:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    attribute = resource.resource.attributes.add()
    attribute.key, attribute.value.string_value = "service.name", "triton"
    span = resource.scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.parent_span_id = map(bytes.fromhex, (TRACE, SPAN, PARENT))
    span.name, span.kind = "compute", 2
    span.start_time_unix_nano, span.end_time_unix_nano, span.status.code = 1000, 3000, 2
    attribute = span.attributes.add()
    attribute.key, attribute.value.int_value = "count", 3
    attribute = span.attributes.add()
    attribute.key = "names"
    attribute.value.array_value.values.add().string_value = "a"
    return message.SerializeToString()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[collector.Receiver]:
    server = collector.Receiver(("127.0.0.1", 0), collector.SpanFiles(tmp_path / "spans"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _post(server: collector.Receiver, body: bytes, path: str = "/v1/traces", **headers: str) -> int:
    url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, named)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("body", "kind"), [(json.dumps(REQUEST).encode(), "application/json"), (_protobuf(), "application/x-protobuf")]
)
def test_a_span_arrives_whatever_its_encoding(
    receiver: collector.Receiver, tmp_path: Path, body: bytes, kind: str, packed: bool
) -> None:
    headers = {"Content_Type": kind} | ({"Content_Encoding": "gzip"} if packed else {})
    assert _post(receiver, gzip.compress(body) if packed else body, **headers) == 200
    (span,) = spans.read(tmp_path / "spans", TRACE)
    assert (span.span_id, span.parent_span_id, span.name, span.service) == (SPAN, PARENT, "compute", "triton")
    assert (span.kind, span.status, span.duration_ns) == ("server", "error", 2000)
    assert span.attributes == {"count": 3, "names": ["a"]}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {"Content_Type": "application/json"}),
        (b"[]", {"Content_Type": "application/json"}),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}', {"Content_Type": "application/json"}),
        (b'{"resourceSpans": [1]}', {"Content_Type": "application/json"}),
        (b"\xff\xff\xff", {"Content_Type": "application/x-protobuf"}),
        (b"no gzip", {"Content_Type": "application/json", "Content_Encoding": "gzip"}),
        (gzip.compress(b"[" * 20_000_000), {"Content_Type": "application/json", "Content_Encoding": "gzip"}),
    ],
)
def test_what_is_no_trace_is_refused_and_the_next_one_is_taken(
    receiver: collector.Receiver, tmp_path: Path, body: bytes, headers: dict[str, str]
) -> None:
    assert _post(receiver, body, **headers) == 400
    assert _post(receiver, json.dumps(REQUEST).encode(), Content_Type="application/json") == 200
    assert len(list(spans.read(tmp_path / "spans", TRACE))) == 1


def test_another_path_is_not_found(receiver: collector.Receiver) -> None:
    assert _post(receiver, b"{}", "/v1/logs", Content_Type="application/json") == 404


def test_the_name_of_a_service_cannot_leave_the_folder(tmp_path: Path) -> None:
    files = collector.SpanFiles(tmp_path / "spans")
    files.append([("../../etc/x", {"name": "n"})])
    assert [file.name for file in (tmp_path / "spans").iterdir()] == ["______etc_x.jsonl"]


def test_a_zero_parent_is_none() -> None:
    request = json.loads(json.dumps(REQUEST))
    request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["parentSpanId"] = "0" * 16
    ((_, line),) = collector.lines(request)
    assert line["parent_span_id"] is None
