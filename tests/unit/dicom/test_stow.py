import json
from xml.etree import ElementTree

import pytest

from services.dicom.part10 import Reason
from services.dicom.stow import (
    WARNING_KEPT_FIRST,
    Failed,
    Stored,
    status_code,
    store_response,
    store_response_json,
    store_response_xml,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
STORED = Stored(CT, "1.2.3", "http://host/studies/1/series/2/instances/1.2.3")
WARNED = Stored(CT, "1.2.4", "http://host/x", warning_reason=WARNING_KEPT_FIRST)
FAILED = Failed(0xA900, CT, "1.2.5", "The SOP Class UID is not the one that was announced.")
NAMELESS = Failed(Reason.NOT_DICOM.failure_reason, text=Reason.NOT_DICOM.text)


def test_the_response_names_what_was_stored_and_what_was_not() -> None:
    response = store_response("http://host/studies/1", [STORED, WARNED], [FAILED, NAMELESS])

    assert response["00081190"]["Value"] == ["http://host/studies/1"]
    good, warned = response["00081199"]["Value"]
    assert good["00081155"]["Value"] == ["1.2.3"]
    assert good["00081190"]["Value"] == [STORED.retrieve_url]
    assert "00081196" not in good
    assert warned["00081196"]["Value"] == [0xB000]
    (failed,) = response["00081198"]["Value"]
    assert failed["00081150"]["Value"] == [CT]
    assert failed["00081197"]["Value"] == [0xA900]
    (nameless,) = response["0008119A"]["Value"]
    assert nameless == {
        "00000902": {"vr": "LO", "Value": [Reason.NOT_DICOM.text]},
        "00081197": {"vr": "US", "Value": [0xC000]},
    }
    assert json.loads(store_response_json("http://host/studies/1", [STORED, WARNED], [FAILED, NAMELESS])) == response


def test_the_response_as_xml_says_the_same() -> None:
    root = ElementTree.fromstring(store_response_xml(None, [STORED], [FAILED]))
    name = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
    reason = root.find(f"{name}DicomAttribute[@keyword='FailedSOPSequence']/{name}Item/")
    assert root.tag == f"{name}NativeDicomModel"
    assert reason is not None
    assert [each.text for each in root.iter(f"{name}Value")][-1] == STORED.retrieve_url


@pytest.mark.parametrize(
    ("stored", "failed", "status"),
    [
        ([STORED], [], 200),
        ([STORED, WARNED], [], 202),
        ([STORED], [FAILED], 202),
        ([], [FAILED], 409),
        ([], [], 409),
    ],
)
def test_the_status_tells_all_some_or_none(stored: list[Stored], failed: list[Failed], status: int) -> None:
    assert status_code(stored, failed) == status
