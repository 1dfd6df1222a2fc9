"""The archive's values: what a request names, what is prepared, where an instance lies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.archive.errors import IllegalUid
from services.chassis.principal import Principal
from services.contracts import records
from services.contracts.events import Action, AuditRecorded, Outcome
from services.dicom import uids
from services.dicom.layout import Layout

BULK_DATA_URI = b'"BulkDataURI":"instances/'
"""How each BulkDataURI begins in stored metadata. No value can look like it: quotation marks in values are escaped."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What a path names: a study, a series of it, an instance of that; "" below where it ends.

    Raises:
        IllegalUid: one of them is no UID.
    """

    study_instance_uid: str
    series_instance_uid: str = ""
    sop_instance_uid: str = ""

    def __post_init__(self) -> None:
        named = (self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)
        if not all(uids.is_legal(uid) for uid in named if uid):
            raise IllegalUid

    @property
    def series(self) -> tuple[str, str]:
        """The UIDs of the study and the series."""
        return self.study_instance_uid, self.series_instance_uid

    @property
    def path(self) -> str:
        """The path under the root of the service (PS3.18 10.1)."""
        path = f"studies/{self.study_instance_uid}"
        if self.series_instance_uid:
            path += f"/series/{self.series_instance_uid}"
        if self.sop_instance_uid:
            path += f"/instances/{self.sop_instance_uid}"
        return path


@dataclass(frozen=True, slots=True)
class Document:
    """The metadata of a series as it is answered, but for the address of this service.

    Attributes:
        change: of the series when this was made.
        body: a JSON array of DICOM JSON objects, whose BulkDataURIs are relative to the series.
    """

    change: int
    body: bytes

    def at(self, series_url: str) -> bytes:
        """The body with absolute BulkDataURIs."""
        return self.body.replace(BULK_DATA_URI, f'"BulkDataURI":"{series_url}/instances/'.encode())


@dataclass(frozen=True, slots=True)
class Located:
    """What it takes to read an instance.

    Attributes:
        digest: the name of its object.
        size: of it, in bytes.
        metadata: its DICOM JSON; empty where only the place was asked for.
    """

    resource: Resource
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    size: int
    layout: Layout
    metadata: bytes = b""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What becomes of what is read: shown to the caller, sent on to an application entity, or written to files."""

    action: Action = Action.RETRIEVE
    destination: str = ""
    destination_address: str = ""

    @classmethod
    def towards(cls, destination: str, address: str) -> Purpose:
        """Sent on to `destination`, if that is anybody."""
        return cls(Action.TRANSFER_OUT, destination, address) if destination else cls()


def etag(*parts: object) -> str:
    """An entity tag (RFC 9110 8.8.3) that changes when one of these does."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def access(
    action: Action, caller: Principal, resource: Resource | None = None, *, trace_id: str, detail: str,
    instances: int = 0, outcome: Outcome = Outcome.SUCCESS, reason_code: str = "",
) -> AuditRecorded:  # fmt: skip
    """The audit record of one access. `detail` is a fixed word, never a value of the request."""
    return records.of(
        "archive",
        action,
        outcome,
        caller,
        reason_code=reason_code,
        study_instance_uid=resource.study_instance_uid if resource else "",
        series_instance_uid=resource.series_instance_uid if resource else "",
        sop_instance_uid=resource.sop_instance_uid if resource else "",
        instances=instances,
        trace_id=trace_id,
        detail=detail,
    )


def total(first: AuditRecorded, *, instances: int, frames: int, size: int) -> AuditRecorded:
    """The audit record that sums up the accesses which began with `first`, under a name of its own."""
    return replace(
        first,
        record_id=f"{first.record_id}.total",
        at=records.moment(datetime.now(UTC)),
        sop_instance_uid="",
        detail=f"{first.detail}-total",
        instances=instances,
        frames=frames,
        bytes=size,
    )
