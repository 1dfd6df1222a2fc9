"""What DICOM calls the things that we record: event, type and action of each (PS3.15 A.5.3, PS3.16 CID 400 and 401)."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from services.audit.model import Entry
from services.contracts.events import Action, AuditRecorded, Outcome

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Code:
    """A code of a terminology."""

    value: str
    meaning: str
    system: str = "DCM"


@dataclass(frozen=True, slots=True)
class Event:
    """What kind of event an action is.

    Attributes:
        action: C, R, U, D or E.
        type: narrower than `id`.
        life_cycle: of the data (PS3.15 A.5.1.2.3); "" if it has no part in it.
        inbound: the caller is where the data comes from.
    """

    id: Code
    action: str
    type: Code | None = None
    life_cycle: str = ""
    inbound: bool = False


SOURCE: Final = Code("110153", "Source Role ID")
DESTINATION: Final = Code("110152", "Destination Role ID")
APPLICATION: Final = Code("110150", "Application")
DESTINATION_MEDIA: Final = Code("110154", "Destination Media")
MEDIA: Final = Code("110037", "URI")
STUDY: Final = Code("110180", "Study Instance UID")
SOP_CLASS: Final = Code("110181", "SOP Class UID")
PATIENT: Final = Code("2", "Patient Number", "RFC-3881")

_TRANSFERRED: Final = Code("110104", "DICOM Instances Transferred")
_ACCESSED: Final = Code("110103", "DICOM Instances Accessed")
_ACTIVITY: Final = Code("110100", "Application Activity")
_ALERT: Final = Code("110113", "Security Alert")

EVENTS: Final = {
    Action.STORE: Event(_TRANSFERRED, "C", life_cycle="1", inbound=True),
    Action.TRANSFER_IN: Event(_TRANSFERRED, "C", life_cycle="2", inbound=True),
    Action.TRANSFER_OUT: Event(_TRANSFERRED, "R", life_cycle="10"),
    Action.RETRIEVE: Event(_TRANSFERRED, "R", life_cycle="6"),
    Action.QUERY: Event(Code("110112", "Query"), "E", inbound=True),
    Action.DEIDENTIFY: Event(_ACCESSED, "R", life_cycle="7"),
    Action.REIDENTIFY: Event(_ACCESSED, "R", life_cycle="5"),
    Action.RESULT: Event(_TRANSFERRED, "C", life_cycle="1", inbound=True),
    Action.JOB: Event(Code("110111", "Procedure Record"), "U", life_cycle="8"),
    Action.DELETE: Event(Code("110105", "DICOM Study Deleted"), "D", life_cycle="15"),
    Action.EXPORT: Event(Code("110106", "Export"), "R", life_cycle="10"),
    Action.LOGIN: Event(Code("110114", "User Authentication"), "E", Code("110122", "Login")),
    Action.ASSOCIATE: Event(_ALERT, "E", Code("110126", "Node Authentication")),
    Action.START: Event(_ACTIVITY, "E", Code("110120", "Application Start")),
    Action.STOP: Event(_ACTIVITY, "E", Code("110121", "Application Stop")),
    Action.CONFIGURE: Event(_ALERT, "E", Code("110131", "Software Configuration")),
    Action.AUDIT_READ: Event(Code("110101", "Audit Log Used"), "R"),
    Action.AUDIT_ERASE: Event(_ALERT, "E", Code("110135", "Object Security Attributes Changed")),
}
"""Every action that we record. (Erasing from the log has no event of its own: the log is a secured object.)"""

_OUTCOMES: Final = {Outcome.SUCCESS: "0", Outcome.REFUSED: "4", Outcome.FAILURE: "8"}
_FIELDS: Final = {field.name for field in fields(AuditRecorded)}


def recorded(entry: Entry) -> AuditRecorded | None:
    """What an entry records; `None` if it was erased."""
    if entry.record is None:
        return None
    values = json.loads(entry.record)
    return AuditRecorded(**{name: value for name, value in values.items() if name in _FIELDS})


def event_of(record: AuditRecorded) -> Event:
    """The event that an action is; of one that we do not know yet, that the application was used."""
    try:
        return EVENTS[Action(record.action)]
    except ValueError:
        return Event(_ACTIVITY, "E")


def outcome_of(record: AuditRecorded) -> str:
    """0 (success), 4 (minor failure: refused) or 8 (serious failure)."""
    try:
        return _OUTCOMES[Outcome(record.outcome)]
    except ValueError:
        return "8"


def time_of(entry: Entry) -> str:
    """When it happened, in UTC; the epoch where the record says no time."""
    return (entry.index.at or _EPOCH).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def address_type(address: str) -> str:
    """2 for an IP address, 1 for the name of a machine (PS3.15 A.5.1)."""
    try:
        ip_address(address)
    except ValueError:
        return "1"
    return "2"


def readable(text: str) -> str:
    """A text with everything that XML 1.0 has no place for as U+FFFD."""
    return "".join(c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "\ufffd"
                   for c in text)  # fmt: skip
