"""The line format of span files: one JSON object a span, written by the services."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.contracts import telemetry as names


@dataclass(frozen=True, slots=True)
class Span:
    """A finished span. Ids are lower-case hexadecimal, times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    service: str
    start_unix_ns: int
    end_unix_ns: int
    kind: str = "internal"
    status: str = "unset"
    attributes: Mapping[str, Any] | None = None

    @property
    def duration_ns(self) -> int:
        """How long it took."""
        return max(0, self.end_unix_ns - self.start_unix_ns)

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self.status == "error"


def parse(line: str) -> Span | None:
    """A span of a line; None for a line that is none, such as the last one of a file that is being written."""
    try:
        fields = json.loads(line)
        return Span(
            trace_id=fields["trace_id"],
            span_id=fields["span_id"],
            parent_span_id=fields.get("parent_span_id") or None,
            name=fields["name"],
            service=fields.get("service", "?"),
            start_unix_ns=int(fields["start_unix_ns"]),
            end_unix_ns=int(fields["end_unix_ns"]),
            kind=fields.get("kind", "internal"),
            status=fields.get("status", "unset"),
            attributes=fields.get("attributes") or {},
        )
    except (ValueError, KeyError, TypeError):
        return None


def read(folder: Path, trace_id: str) -> Iterator[Span]:
    """All spans of a trace in a folder of span files."""
    for file in sorted(folder.glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if trace_id in line and (span := parse(line)) is not None and span.trace_id == trace_id:
                    yield span


def trace_of(folder: Path, which: str) -> str | None:
    """The trace that has the id `which`, or that of the job of this id; both are 32 hexadecimal digits."""
    for file in sorted(folder.glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                span = parse(line) if which in line else None
                if span is not None and which in (span.trace_id, (span.attributes or {}).get(names.JOB_ID)):
                    return span.trace_id
    return None


def settled(folder: Path, trace_id: str, *, quiet_seconds: float = 1.0, most_seconds: float = 6.0) -> list[Span]:
    """All spans of a trace once no more are written: a service writes a span when it has ended, and in batches."""
    end = time.monotonic() + most_seconds
    found = list(read(folder, trace_id))
    changed = time.monotonic()
    while (now := time.monotonic()) < end and now - changed < quiet_seconds:
        time.sleep(quiet_seconds / 4)
        again = list(read(folder, trace_id))
        if len(again) != len(found):
            found, changed = again, time.monotonic()
    return found
