"""What the audit log refuses or cannot do.

PassingFault
├── LogUnavailableError       503: the record cannot be written, or the log not read, now
├── FolderUnavailableError    503: the tiles cannot be written or read now: a full disk
├── LogBrokenError            503: the log is not as it was left: nothing is added or signed until a person has looked
└── ReceiverError             a receiver of the log does not take records now
PermanentFault
├── UnreadableRecordError     a message is no audit record
├── UnknownRecordError        404: there is no such record
├── ErasedRecordError         410: the record's content was erased
├── UnacceptableError         406: the record is not there in the form that is asked for
├── InvalidQueryError         400: the parameter is named, its value is not repeated
├── InvalidCheckpointError    400: what was given is no checkpoint of this log
└── KeyFileError              the signing key cannot be read: the service does not start
"""

from __future__ import annotations

from services.chassis.faults import PassingFault, PermanentFault


class LogUnavailableError(PassingFault):
    """PostgreSQL does not answer now."""

    def __init__(self) -> None:
        super().__init__("log-unavailable", "the audit log's database does not answer")


class FolderUnavailableError(PassingFault):
    """The folder of the tiles is full, or not ours to write."""

    def __init__(self, error: OSError) -> None:
        super().__init__("folder-unavailable", f"the folder of the log's tiles is not usable ({type(error).__name__})")


class LogBrokenError(PassingFault):
    """The log cannot go on. Passing: a person mends it, and the records wait in the stream."""

    def __init__(self, reason: str = "the audit log is not as it was left") -> None:
        super().__init__("log-broken", f"{reason}: verify it")


class ReceiverError(PassingFault):
    """A receiver that the log is forwarded to did not take records."""

    def __init__(self, reason: str) -> None:
        super().__init__("receiver-unavailable", reason)


class UnreadableRecordError(PermanentFault):
    """The bytes are no `audit.recorded`."""

    def __init__(self) -> None:
        super().__init__("unreadable-event", "a message is no audit record")


class UnknownRecordError(PermanentFault):
    """No record has this id."""

    def __init__(self) -> None:
        super().__init__("no-such-record", "the log has no record of this id")


class ErasedRecordError(PermanentFault):
    """There is nothing left of the record that could be given in this form."""

    def __init__(self) -> None:
        super().__init__("erased", "the content of this record was erased")


class UnacceptableError(PermanentFault):
    """A form that we do not have."""

    def __init__(self) -> None:
        forms = "application/json, application/dicom-audit+xml or application/fhir+json"
        super().__init__("not-acceptable", f"records are given as {forms}")


class InvalidQueryError(PermanentFault):
    """A query that the log does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__("invalid-parameter", reason)


class InvalidCheckpointError(PermanentFault):
    """A checkpoint that is none of this log."""

    def __init__(self, reason: str) -> None:
        super().__init__("invalid-checkpoint", reason)


class KeyFileError(PermanentFault):
    """The signing key is missing, or open to others."""

    def __init__(self, reason: str) -> None:
        super().__init__("key-file", reason)
