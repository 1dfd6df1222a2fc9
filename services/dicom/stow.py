"""The answer to a store request: the Store Instances Response Module (PS3.18 Annex I, 10.5.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.dicom.dicom_json import DicomJson, dumps
from services.dicom.native_xml import native_xml

WARNING_KEPT_FIRST: Final = 0xB000
"""Coercion of Data Elements (PS3.18 Table I.2-1): what is served is not what was sent, but what was here before."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One instance that is stored now, or was already.

    Attributes:
        sop_class_uid: (0008,1150).
        sop_instance_uid: (0008,1155).
        retrieve_url: where it can be read.
        warning_reason: (0008,1196), if there is something to say.
    """

    sop_class_uid: str
    sop_instance_uid: str
    retrieve_url: str
    warning_reason: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """One part of the request that was not stored.

    Attributes:
        failure_reason: (0008,1197), PS3.18 Table I.2-2.
        sop_class_uid: "" when it could not be read.
        sop_instance_uid: "" when it could not be read.
        text: one short sentence, goes out as Error Comment (0000,0902).
    """

    failure_reason: int
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    text: str = ""


def store_response(study_url: str | None, stored: Sequence[Stored], failed: Sequence[Failed]) -> DicomJson:
    """Makes the response as DICOM JSON.

    Args:
        study_url: Retrieve URL of the study when all instances are of one.
        stored: what is in the archive now.
        failed: what is not; those without a SOP Instance UID go into Other Failures Sequence.
    """
    named = [_failed(each) for each in failed if each.sop_instance_uid]
    nameless = [_failed(each) for each in failed if not each.sop_instance_uid]
    response: DicomJson = {}
    if study_url:
        response["00081190"] = {"vr": "UR", "Value": [study_url]}
    if named:
        response["00081198"] = {"vr": "SQ", "Value": named}
    if stored:
        response["00081199"] = {"vr": "SQ", "Value": [_stored(each) for each in stored]}
    if nameless:
        response["0008119A"] = {"vr": "SQ", "Value": nameless}
    return dict(sorted(response.items()))


def store_response_json(study_url: str | None, stored: Sequence[Stored], failed: Sequence[Failed]) -> bytes:
    """Makes the response for application/dicom+json."""
    return dumps(store_response(study_url, stored, failed))


def store_response_xml(study_url: str | None, stored: Sequence[Stored], failed: Sequence[Failed]) -> bytes:
    """Makes the response for application/dicom+xml."""
    return native_xml(store_response(study_url, stored, failed))


def status_code(stored: Sequence[Stored], failed: Sequence[Failed]) -> int:
    """Gives the HTTP status (PS3.18 Table 10.5.3-1): 200 all, 202 some or with warnings, 409 none."""
    if not stored:
        return 409
    return 202 if failed or any(each.warning_reason is not None for each in stored) else 200


def _stored(each: Stored) -> dict[str, Any]:
    item: dict[str, Any] = {
        "00081150": {"vr": "UI", "Value": [each.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [each.sop_instance_uid]},
        "00081190": {"vr": "UR", "Value": [each.retrieve_url]},
    }
    if each.warning_reason is not None:
        item["00081196"] = {"vr": "US", "Value": [each.warning_reason]}
    return item


def _failed(each: Failed) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if each.text:
        item["00000902"] = {"vr": "LO", "Value": [each.text]}
    if each.sop_class_uid:
        item["00081150"] = {"vr": "UI", "Value": [each.sop_class_uid]}
    if each.sop_instance_uid:
        item["00081155"] = {"vr": "UI", "Value": [each.sop_instance_uid]}
    item["00081197"] = {"vr": "US", "Value": [each.failure_reason]}
    return item
