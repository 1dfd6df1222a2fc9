"""A small OTLP/HTTP receiver: spans in, as JSON or protobuf, gzipped or not; lines of JSON out (see `spans`).

Our services write their spans themselves; this exists for parts that speak only OTLP, such as Triton. Under Compose and
Kubernetes the OpenTelemetry Collector takes its place.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_LIMIT_BYTES = 16 * 1024 * 1024
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")


def lines(request: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The spans of an ExportTraceServiceRequest in JSON form, each with the name of its service.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is no such request.
    """
    for resource in request.get("resourceSpans", ()):
        labels = _attributes(resource.get("resource", {}).get("attributes", ()))
        service = str(labels.get("service.name", "unknown"))
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield service, _line(service, span)


def decode(body: bytes, content_type: str, content_encoding: str) -> dict[str, Any]:
    """A request body as the JSON form of an ExportTraceServiceRequest.

    Raises:
        ValueError: it cannot be read.
    """
    if content_encoding == "gzip":
        unpacker = zlib.decompressobj(wbits=31)
        body = unpacker.decompress(body, _LIMIT_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError("too large when unpacked")
    if content_type.startswith("application/x-protobuf"):
        return _from_protobuf(body)
    decoded = json.loads(body)
    if not isinstance(decoded, dict):
        raise ValueError("not an object")
    return decoded


def _from_protobuf(body: bytes) -> dict[str, Any]:
    # late: only a sender of protobuf makes this process load it
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = ExportTraceServiceRequest()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise ValueError("not an ExportTraceServiceRequest") from error
    decoded: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    for resource in decoded.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for key in ("traceId", "spanId", "parentSpanId"):  # bytes: base64 here, hexadecimal in OTLP/JSON
                    if key in span:
                        span[key] = base64.b64decode(span[key]).hex()
    return decoded


def _line(service: str, span: dict[str, Any]) -> dict[str, Any]:
    parent = span.get("parentSpanId", "")
    return {
        "trace_id": span["traceId"].lower(),
        "span_id": span["spanId"].lower(),
        "parent_span_id": parent.lower() if parent.strip("0") else None,
        "name": span["name"],
        "service": service,
        "kind": _named(_KINDS, span.get("kind", 0)),
        "start_unix_ns": int(span["startTimeUnixNano"]),
        "end_unix_ns": int(span["endTimeUnixNano"]),
        "status": _named(_STATUSES, span.get("status", {}).get("code", 0)),
        "attributes": _attributes(span.get("attributes", ())),
    }


def _named(names: tuple[str, ...], value: object) -> str:
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return str(value).rsplit("_", 1)[-1].lower()


def _attributes(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _value(pair.get("value", {})) for pair in pairs}


def _value(value: dict[str, Any]) -> Any:
    for kind, content in value.items():
        match kind:
            case "intValue":
                return int(content)
            case "arrayValue":
                return [_value(item) for item in content.get("values", ())]
            case _:
                return content
    return None


class SpanFiles:
    """Appends spans to one file a service."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()

    def append(self, spans: list[tuple[str, dict[str, Any]]]) -> None:
        """Writes each line whole: readers may look at any time."""
        with self._lock:
            for service, span in spans:
                name = re.sub(r"[^a-z0-9_-]", "_", service.lower())[:64]
                with (self._folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(span, separators=(",", ":")) + "\n")


class Receiver(ThreadingHTTPServer):
    """The HTTP server; its files are known to each handler."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], files: SpanFiles) -> None:
        super().__init__(address, _Handler)
        self.files = files


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_GET(self) -> None:
        """`/healthz` for the launcher."""
        self._answer(200 if self.path == "/healthz" else 404)

    def do_POST(self) -> None:
        """`/v1/traces`, and nothing else (OTLP/HTTP 1.x)."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/v1/traces" or not 0 < length <= _LIMIT_BYTES:
            self.close_connection = True  # the body stays unread
            self._answer(404 if self.path != "/v1/traces" else 413)
            return
        body = self.rfile.read(length)
        try:
            request = decode(body, self.headers.get("Content-Type", ""), self.headers.get("Content-Encoding", ""))
            self.server.files.append(list(lines(request)))
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
            self._answer(400)
            return
        self._answer(200)

    def _answer(self, status: int) -> None:
        body = b"{}"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: a line a batch would only fill the log."""


def main() -> None:
    """Runs until it is told to end; reads its two settings here and nowhere else."""
    host, port = os.environ["PLEXUS_COLLECTOR_LISTEN"].rsplit(":", 1)
    files = SpanFiles(Path(os.environ["PLEXUS_COLLECTOR_FOLDER"]))
    with Receiver((host, int(port)), files) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
