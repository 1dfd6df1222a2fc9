"""What the audit log refuses or cannot do.

PassingFault
├── LogUnavailableError       503: the record cannot be written, or the log not read, now
└── LogBrokenError            503: somebody put a record where the next one belongs
PermanentFault
├── UnreadableRecordError     a message is no audit record
└── InvalidQueryError         400: the parameter is named, its value is not repeated
"""

from __future__ import annotations

from services.chassis.faults import PassingFault, PermanentFault


class LogUnavailableError(PassingFault):
    """PostgreSQL does not answer now."""

    def __init__(self) -> None:
        super().__init__("log-unavailable", "the audit log's database does not answer")


class LogBrokenError(PassingFault):
    """The chain cannot go on. Passing: a person mends it, and the records wait in the stream or its dead letters."""

    def __init__(self) -> None:
        super().__init__("log-broken", "the audit log holds a record beyond its head: verify it")


class UnreadableRecordError(PermanentFault):
    """The bytes are no `audit.recorded`."""

    def __init__(self) -> None:
        super().__init__("unreadable-event", "a message is no audit record")


class InvalidQueryError(PermanentFault):
    """A query that the log does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__("invalid-parameter", reason)
