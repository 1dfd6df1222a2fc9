"""A record as a FHIR R4 AuditEvent; where a pattern of IHE BALP fits it, it is filled as that says, and names it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.audit.forms import coding
from services.audit.forms.coding import Code
from services.audit.model import Entry
from services.contracts.events import Action, AuditRecorded, Outcome

MEDIA_TYPE = "application/fhir+json"
_BALP: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_TERMS: Final = "http://terminology.hl7.org/CodeSystem/"
_SYSTEMS: Final = {"DCM": "http://dicom.nema.org/resources/ontology/DCM", "RFC-3881": f"{_TERMS}object-type"}
_IDENTIFIER: Final = "urn:ietf:rfc:3986"
_PATTERNS: Final = {
    Action.STORE: ("Create", "create"),
    Action.RESULT: ("Create", "create"),
    Action.TRANSFER_IN: ("Create", "create"),
    Action.RETRIEVE: ("Read", "read"),
    Action.QUERY: ("Query", "search"),
    Action.DELETE: ("Delete", "delete"),
}
"""The actions that are requests of a client to a server, as BALP has them: its pattern, and FHIR's interaction."""

Resource = dict[str, Any]


def audit_event(entry: Entry, patients: Mapping[str, str]) -> Resource | None:
    """The AuditEvent of a record; `None` if it was erased.

    Args:
        patients: patient IDs by study.
    """
    record = coding.recorded(entry)
    if record is None:
        return None
    event = coding.event_of(record)
    patient = patients.get(record.study_instance_uid, "")
    pattern, interaction = _pattern(record)
    found: Resource = {"resourceType": "AuditEvent", "id": record.record_id}
    if pattern:
        found["meta"] = {"profile": [f"{_BALP}{'Patient' if patient else ''}{pattern}"]}
        found["type"] = _coding(Code("rest", "Restful Operation", f"{_TERMS}audit-event-type"))
        found["subtype"] = [
            _coding(Code(interaction, interaction, "http://hl7.org/fhir/restful-interaction")),
            _coding(event.id),
        ]
    else:
        found["type"] = _coding(event.id)
        if event.type:
            found["subtype"] = [_coding(event.type)]
    found |= {
        "action": event.action,
        "recorded": coding.time_of(entry),
        "outcome": coding.outcome_of(record),
        "agent": _agents(record, inbound=event.inbound),
        "source": {
            "observer": _named(f"plexus.{record.service}"),
            "type": [_coding(Code("4", "Application Server", f"{_TERMS}security-source-type"))],
        },
    }
    if record.reason_code:
        found["outcomeDesc"] = record.reason_code
    if record.institution:
        found["source"]["site"] = record.institution
    if entities := _entities(record, patient, is_pattern=bool(pattern)):
        found["entity"] = entities
    return found


def bundle(entries: Iterable[Entry], patients: Mapping[str, str], *, kind: str = "searchset") -> Resource:
    """The AuditEvents of records in a Bundle: `searchset` as an answer, `batch` to be sent (ITI-20)."""
    events = [found for entry in entries if (found := audit_event(entry, patients)) is not None]
    made: Resource = {"resourceType": "Bundle", "type": kind}
    if events:
        made["entry"] = [_bundled(event, kind) for event in events]
    return made


def _bundled(event: Resource, kind: str) -> Resource:
    identity = str(event["id"])
    is_uuid = len(identity) == 32 and all(c in "0123456789abcdef" for c in identity)
    url = f"urn:uuid:{'-'.join((identity[:8], identity[8:12], identity[12:16], identity[16:20], identity[20:]))}"
    entry: Resource = {"fullUrl": url} if is_uuid else {}
    entry["resource"] = event
    if kind == "batch":
        entry["request"] = {"method": "POST", "url": "AuditEvent"}
    return entry


def _pattern(record: AuditRecorded) -> tuple[str, str]:
    """BALP has patterns for what succeeded, and that has an object."""
    if record.outcome != Outcome.SUCCESS or not (record.study_instance_uid or record.action == Action.QUERY):
        return "", ""
    try:
        return _PATTERNS.get(Action(record.action), ("", ""))
    except ValueError:
        return "", ""


def _agents(record: AuditRecorded, *, inbound: bool) -> list[Resource]:
    """The client and the server, by the roles that DICOM gives them, and the user."""
    if record.action in (Action.START, Action.STOP):
        itself = {"type": {"coding": [_coding(coding.APPLICATION)]}, "who": _named(f"plexus.{record.service}")}
        return [itself | {"requestor": False}]
    client, server = (coding.SOURCE, coding.DESTINATION) if inbound else (coding.DESTINATION, coding.SOURCE)
    source = record.source or record.caller or "unknown"
    who = _named(source)
    if record.destination:  # the client is where it goes; who had it sent there is the user alone
        who, source = _named(record.destination), record.destination_address or record.destination
    user = Code("IRCP", "information recipient", f"{_TERMS}v3-ParticipationType")
    return [
        {
            "type": {"coding": [_coding(client)]},
            "who": who,
            "requestor": False,
            "network": {"address": source, "type": coding.address_type(source)},
        },
        {
            "type": {"coding": [_coding(server)]},
            "who": _named(f"plexus.{record.service}"),
            "requestor": False,
            "network": {"address": f"plexus.{record.service}", "type": "1"},
        },
        {"type": {"coding": [_coding(user)]}, "who": _named(record.caller or "unknown"), "requestor": True},
    ]


def _entities(record: AuditRecorded, patient: str, *, is_pattern: bool) -> list[Resource]:
    found: list[Resource] = []
    thing = _coding(Code("2", "System Object", f"{_TERMS}audit-entity-type"))
    if record.action == Action.QUERY:
        found.append(
            {
                "type": thing,
                "role": _coding(Code("24", "Query", f"{_TERMS}object-role")),
                # What was asked for, not the values of the keys: we do not record those.
                "query": base64.b64encode((record.detail or "query").encode()).decode(),
            }
        )
    elif record.study_instance_uid:
        study: Resource = {
            "what": {"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{record.study_instance_uid}"}},
            "type": thing,
            "role": _coding(Code("3", "Report", f"{_TERMS}object-role")),
        }
        if not is_pattern:  # where BALP says what is in it, it has no details
            study["detail"] = _details(record, ("series_instance_uid", "sop_instance_uid", "job_id", "detail"))
            study["detail"] += [{"type": "instances", "valueString": str(record.instances)}]
        found.append(study)
    if patient:
        found.append(
            {
                "what": {"type": "Patient", "identifier": {"value": patient}},
                "type": _coding(Code("1", "Person", f"{_TERMS}audit-entity-type")),
                "role": _coding(Code("1", "Patient", f"{_TERMS}object-role")),
            }
        )
    if record.about:
        about = {"system": _IDENTIFIER, "value": f"urn:plexus:audit:{record.about}"}
        role = _coding(Code("13", "Security Resource", f"{_TERMS}object-role"))
        found.append({"what": {"identifier": about}, "type": thing, "role": role})
    return found


def _details(record: AuditRecorded, names: Iterable[str]) -> list[Resource]:
    values = ((name, str(getattr(record, name))) for name in names)
    return [{"type": name, "valueString": value} for name, value in values if value]


def _named(value: str) -> Resource:
    return {"identifier": {"value": value}, "display": value}


def _coding(code: Code) -> Resource:
    return {"system": _SYSTEMS.get(code.system, code.system), "code": code.value, "display": code.meaning}
