"""Records in the forms of other systems: DICOM audit messages and FHIR AuditEvents, each by its schema."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from fhir.resources.R4B import get_fhir_model_class
from lxml import etree

from services.audit import model
from services.audit.forms import coding, dicom, fhir
from services.audit.model import Entry
from services.contracts.events import Action, AuditRecorded, Outcome
from tests.unit.audit.memory import PATIENTS, recorded

SCHEMA = Path(__file__).resolve().parents[2] / "data" / "audit" / "audit-message.rng"


def entry(record: AuditRecorded) -> Entry:
    return model.entries(0, [model.canonical(record)])[0]


def every_kind() -> Iterator[Entry]:
    """Each action with each outcome, with and without a study, by a known and an unknown caller; and odd ones."""
    for action in Action:
        for outcome in Outcome:
            for study in ("", "1.2.3", "1.2.99"):
                yield entry(
                    recorded(
                        1,
                        action=action,
                        outcome=outcome,
                        study_instance_uid=study,
                        series_instance_uid=study and f"{study}.1",
                        sop_instance_uid=study and f"{study}.1.1",
                        source="10.0.0.7" if study else "",
                        reason_code="" if outcome is Outcome.SUCCESS else "not-found",
                        institution="Ward 3" if study else "",
                        job_id="a" * 32,
                        instances=3,
                        detail="studies",
                        about="b" * 32 if action is Action.AUDIT_ERASE else "",
                    )
                )
            yield entry(recorded(1, action=action, destination="PACS", destination_address="10.0.0.9"))
    yield entry(recorded(2, action="unheard-of", outcome="odd", at="no time", caller="", service="x\x00y"))
    yield entry(recorded(3, caller="<a & 'b'>\x00\ufffe\U0001f9a0", source="host name", institution=" a \n b "))


def test_every_action_is_an_event_of_the_standard() -> None:
    assert set(coding.EVENTS) == set(Action)
    assert all(event.action in "CRUDE" for event in coding.EVENTS.values())


def test_every_message_is_valid_by_the_schema_of_the_standard() -> None:
    schema = etree.RelaxNG(etree.parse(str(SCHEMA)))
    for each in every_kind():
        message = dicom.message(each, PATIENTS)
        assert message is not None
        schema.assertValid(etree.fromstring(message))
    with pytest.raises(etree.DocumentInvalid):  # it can fail
        schema.assertValid(etree.fromstring((message or b"").replace(b"UserIsRequestor", b"UserIsRequester")))


def test_every_audit_event_is_valid_by_the_schemas_of_fhir_r4() -> None:
    event_type = get_fhir_model_class("AuditEvent")
    for each in every_kind():
        event = fhir.audit_event(each, PATIENTS)
        event_type.model_validate_json(json.dumps(event))
    for kind in ("searchset", "batch"):
        bundle = fhir.bundle(every_kind(), PATIENTS, kind=kind)
        get_fhir_model_class("Bundle").model_validate_json(json.dumps(bundle))
    with pytest.raises(ValueError, match="recorded"):  # it can fail
        event_type.model_validate({key: value for key, value in (event or {}).items() if key != "recorded"})


def test_a_retrieval_is_told_as_dicom_has_it() -> None:
    told = dicom.message(entry(recorded(1, source="10.0.0.7", caller="ann", instances=3)), PATIENTS)
    root = ElementTree.fromstring(told or b"")
    event = root.find("EventIdentification")
    assert event is not None
    assert (event.attrib["EventActionCode"], event.attrib["EventOutcomeIndicator"]) == ("R", "0")
    assert event.attrib["EventDateTime"] == "2026-11-21T12:00:00.000Z"
    assert [each.attrib["csd-code"] for each in event.iter("EventID")] == ["110104"]
    asking, answering = root.findall("ActiveParticipant")
    assert asking.attrib == {
        "UserID": "ann",
        "UserIsRequestor": "true",
        "NetworkAccessPointID": "10.0.0.7",
        "NetworkAccessPointTypeCode": "2",
    }
    assert answering.attrib["UserID"] == "plexus.archive"
    study, patient = root.findall("ParticipantObjectIdentification")
    assert (study.attrib["ParticipantObjectID"], patient.attrib["ParticipantObjectID"]) == ("1.2.3", "P1")


def participants(record: AuditRecorded) -> list[tuple[str, str, list[str], str]]:
    root = ElementTree.fromstring(dicom.message(entry(record), PATIENTS) or b"")
    return [
        (
            each.attrib["UserID"],
            each.attrib["UserIsRequestor"],
            [role.attrib["csd-code"] for role in each.findall("RoleIDCode")],
            each.attrib.get("NetworkAccessPointID", ""),
        )
        for each in root.findall("ActiveParticipant")
    ]


def test_a_transfer_tells_where_it_came_from_where_it_went_and_who_had_it_sent() -> None:
    record = recorded(
        1,
        action="transfer-out",
        caller="STATION",
        source="10.0.0.7",
        destination="PACS",
        destination_address="10.0.0.9",
    )
    assert participants(record) == [
        ("STATION", "true", [], "10.0.0.7"),
        ("plexus.archive", "false", ["110153"], ""),
        ("PACS", "false", ["110152"], "10.0.0.9"),
    ]
    event = fhir.audit_event(entry(record), PATIENTS)
    assert event is not None
    assert [(agent["type"]["coding"][0]["code"], agent["who"]["display"]) for agent in event["agent"]] == [
        ("110152", "PACS"),
        ("110153", "plexus.archive"),
        ("IRCP", "STATION"),
    ]
    assert event["agent"][0]["network"] == {"address": "10.0.0.9", "type": "2"}


@pytest.mark.parametrize(("destination", "titles"), [("PACS", b"AETITLES=PACS"), ("https://pacs.example/web", None)])
def test_the_url_of_a_dicomweb_service_is_not_told_as_an_ae_title(destination: str, titles: bytes | None) -> None:
    told = dicom.message(entry(recorded(1, action="transfer-out", destination=destination)), PATIENTS) or b""
    assert f'UserID="{destination}"'.encode() in told
    assert titles in told if titles else b"AETITLES" not in told


def test_an_export_tells_that_it_went_to_files() -> None:
    record = recorded(1, action="export", caller="ann", source="10.0.0.7")
    assert [each[2] for each in participants(record)] == [["110153"], ["110153"], ["110154"]]
    assert b'<MediaType csd-code="110037"' in (dicom.message(entry(record), PATIENTS) or b"")


def test_a_query_tells_what_was_asked_for_and_no_value() -> None:
    told = dicom.message(entry(recorded(1, action="query", study_instance_uid="", detail="studies")), PATIENTS)
    query = ElementTree.fromstring(told or b"").find(".//ParticipantObjectQuery")
    assert query is not None
    assert base64.b64decode(query.text or "") == b"studies"


def slices(event: dict[str, Any], name: str, *path: str) -> list[str]:
    """The codes by which BALP tells the slices of an element apart."""
    return [(each["type"]["coding"][0] if path else each["type"])["code"] for each in event[name]]


@pytest.mark.parametrize(
    ("action", "study", "profile", "interaction", "roles"),
    [
        ("retrieve", "1.2.3", "PatientRead", "read", ["110152", "110153", "IRCP"]),
        ("retrieve", "1.2.99", "Read", "read", ["110152", "110153", "IRCP"]),
        ("store", "1.2.3", "PatientCreate", "create", ["110153", "110152", "IRCP"]),
        ("query", "", "Query", "search", ["110153", "110152", "IRCP"]),
        ("query", "1.2.3", "PatientQuery", "search", ["110153", "110152", "IRCP"]),
    ],
)
def test_what_a_pattern_of_balp_fits_is_filled_as_the_pattern_says(
    action: str, study: str, profile: str, interaction: str, roles: list[str]
) -> None:
    event = fhir.audit_event(entry(recorded(1, action=action, study_instance_uid=study, detail="studies")), PATIENTS)
    assert event is not None
    assert event["meta"]["profile"][0].endswith(f"IHE.BasicAudit.{profile}")
    assert (event["type"]["code"], event["subtype"][0]["code"], event["outcome"]) == ("rest", interaction, "0")
    assert slices(event, "agent", "coding") == roles
    client, server, user = event["agent"]
    assert all({"who", "network"} <= set(agent) for agent in (client, server))
    assert (user["requestor"], "network" in user) == (True, False)
    entities = {each["type"]["code"]: each for each in event["entity"]}
    assert set(entities) == ({"2", "1"} if profile.startswith("Patient") else {"2"})
    allowed = {"type", "role", "what"} | ({"query"} if action == "query" else set())
    assert all(set(each) <= allowed for each in entities.values())
    assert "query" in entities["2"] or entities["2"]["role"]["code"] == "3"


def test_what_failed_claims_no_pattern() -> None:
    event = fhir.audit_event(entry(recorded(1, outcome="refused", reason_code="not-found")), PATIENTS)
    assert event is not None
    assert "meta" not in event
    assert (event["outcome"], event["outcomeDesc"], event["type"]["code"]) == ("4", "not-found", "110104")


def test_an_erased_record_has_no_form() -> None:
    erased = Entry(1, None, None, bytes(32), model.Index("x"))
    assert dicom.message(erased, {}) is None
    assert fhir.audit_event(erased, {}) is None
    assert fhir.bundle([erased], {}) == {"resourceType": "Bundle", "type": "searchset"}
    assert b"AuditMessage " not in dicom.messages([erased], {})
