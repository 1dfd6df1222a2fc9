"""A record as a DICOM audit message: XML of the schema of PS3.15 A.5.1, filled as A.5.2 and A.5.3 say."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

from services.audit.forms import coding
from services.audit.forms.coding import Code, readable
from services.audit.model import Entry
from services.contracts.events import Action, AuditRecorded

MEDIA_TYPE = "application/dicom-audit+xml"
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND: QIDO-RS asks the same of the same attributes."""


def message(entry: Entry, patients: Mapping[str, str]) -> bytes | None:
    """The message of a record; `None` if it was erased.

    Args:
        patients: patient IDs by study.
    """
    element = _message(entry, patients)
    return None if element is None else _written(element)


def messages(entries: Iterable[Entry], patients: Mapping[str, str]) -> bytes:
    """The messages of records, one after another in `AuditMessages`, which is no element of the standard."""
    root = Element("AuditMessages")
    root.extend(found for entry in entries if (found := _message(entry, patients)) is not None)
    return _written(root)


def _written(element: Element) -> bytes:
    return bytes(tostring(element, "utf-8", xml_declaration=True))


def _message(entry: Entry, patients: Mapping[str, str]) -> Element | None:
    record = coding.recorded(entry)
    if record is None:
        return None
    event = coding.event_of(record)
    root = Element("AuditMessage")
    identification = SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=coding.time_of(entry),
        EventOutcomeIndicator=coding.outcome_of(record),
    )
    _code(identification, "EventID", event.id)
    if event.type:
        _code(identification, "EventTypeCode", event.type)
    if record.reason_code:
        SubElement(identification, "EventOutcomeDescription").text = readable(record.reason_code)
    _participants(root, record, inbound=event.inbound)
    source = SubElement(root, "AuditSourceIdentification", AuditSourceID=f"plexus.{_token(record.service)}")
    if record.institution:
        source.set("AuditEnterpriseSiteID", _token(record.institution))
    SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})
    _objects(root, record, patients)
    return root


def _participants(root: Element, record: AuditRecorded, *, inbound: bool) -> None:
    """Who asked, the service of ours that answered, and where it went (PS3.15 A.5.3.4, A.5.3.7)."""
    if record.action in (Action.START, Action.STOP):
        application = f"plexus.{readable(record.service)}"
        itself = SubElement(root, "ActiveParticipant", UserID=application, UserIsRequestor="false")
        _code(itself, "RoleIDCode", coding.APPLICATION)
        return
    caller = SubElement(root, "ActiveParticipant", UserID=readable(record.caller or "unknown"), UserIsRequestor="true")
    if record.source:
        caller.set("NetworkAccessPointID", _token(record.source))
        caller.set("NetworkAccessPointTypeCode", coding.address_type(record.source))
    if record.action == Action.EXPORT:
        _code(caller, "RoleIDCode", coding.SOURCE)
    elif not record.destination:  # a third party that has it sent elsewhere is neither
        _code(caller, "RoleIDCode", coding.SOURCE if inbound else coding.DESTINATION)
    ours = SubElement(root, "ActiveParticipant", UserID=f"plexus.{readable(record.service)}", UserIsRequestor="false")
    _code(ours, "RoleIDCode", coding.DESTINATION if inbound else coding.SOURCE)
    if record.destination:
        name = readable(record.destination)
        # Results go to the URLs of DICOMweb services, too, which are no AE titles.
        titles = {} if "://" in name else {"AlternativeUserID": f"AETITLES={name}"}
        there = SubElement(root, "ActiveParticipant", {"UserID": name, **titles, "UserIsRequestor": "false"})
        if record.destination_address:
            there.set("NetworkAccessPointID", _token(record.destination_address))
            there.set("NetworkAccessPointTypeCode", coding.address_type(record.destination_address))
        _code(there, "RoleIDCode", coding.DESTINATION)
    if record.action == Action.EXPORT:
        media = SubElement(root, "ActiveParticipant", UserID="files of the caller", UserIsRequestor="false")
        if record.source:
            media.set("NetworkAccessPointID", _token(record.source))
            media.set("NetworkAccessPointTypeCode", coding.address_type(record.source))
        _code(media, "RoleIDCode", coding.DESTINATION_MEDIA)
        _code(SubElement(media, "MediaIdentifier"), "MediaType", coding.MEDIA)


def _objects(root: Element, record: AuditRecorded, patients: Mapping[str, str]) -> None:
    if record.action == Action.QUERY:
        query = _object(root, _FIND, coding.SOP_CLASS, kind="2", role="24")
        # What was asked for, not the values of the keys: we do not record those.
        SubElement(query, "ParticipantObjectQuery").text = base64.b64encode(record.detail.encode()).decode()
    if record.action in (Action.AUDIT_READ, Action.AUDIT_ERASE):
        log = _object(root, "plexus.audit", Code("12", "URI", "RFC-3881"), kind="2", role="13")
        SubElement(log, "ParticipantObjectName").text = "Security Audit Log"
        _details(log, {"record": record.about, "detail": record.detail})
    if record.action == Action.CONFIGURE:
        changed = _object(root, f"plexus.{record.service}", Code("12", "URI", "RFC-3881"), kind="2", role="13")
        SubElement(changed, "ParticipantObjectName").text = "settings"
        _details(changed, {"settings": record.detail})
    if record.study_instance_uid:
        event = coding.event_of(record)
        study = _object(root, record.study_instance_uid, coding.STUDY, kind="2", role="3", life_cycle=event.life_cycle)
        SubElement(study, "ParticipantObjectName").text = ""
        names = ("series_instance_uid", "job_id", "detail", "trace_id", "record_id")
        _details(study, {name: str(getattr(record, name)) for name in names})
        description = SubElement(study, "ParticipantObjectDescription")
        told = SubElement(description, "SOPClass", NumberOfInstances=str(record.instances))
        if record.sop_instance_uid:
            SubElement(told, "Instance", UID=_token(record.sop_instance_uid))
        patient = patients.get(record.study_instance_uid, "")
        person = _object(root, patient or "unknown", coding.PATIENT, kind="1", role="1")
        SubElement(person, "ParticipantObjectName").text = ""


def _object(root: Element, identity: str, code: Code, *, kind: str, role: str, life_cycle: str = "") -> Element:
    found = SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_token(identity),
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    if life_cycle:
        found.set("ParticipantObjectDataLifeCycle", life_cycle)
    _code(found, "ParticipantObjectIDTypeCode", code)
    return found


def _details(parent: Element, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if value:
            encoded = base64.b64encode(value.encode()).decode()
            SubElement(parent, "ParticipantObjectDetail", type=name, value=encoded)


def _code(parent: Element, name: str, code: Code) -> None:
    SubElement(parent, name, {"csd-code": code.value, "codeSystemName": code.system, "originalText": code.meaning})


def _token(text: str) -> str:
    return " ".join(readable(text).split())
