"""What an Identifier asks for, what it lacks, and what comes back (PS3.4 C.4, C.6)."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from services.bridge import identifiers
from services.bridge.errors import RefusedError
from services.bridge.information import SERVICES, Level, Retrieval, inquiry, retrieval

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
STUDY_ROOT, PATIENT_ROOT = SERVICES["1.2.840.10008.5.1.4.1.2.2.1"], SERVICES["1.2.840.10008.5.1.4.1.2.1.1"]
STUDY, SERIES, IMAGE = "0020000D", "0020000E", "00080018"


def asked(level: str = "", **keys: Any) -> dict[str, Any]:
    ds = Dataset()
    if level:
        ds.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds.to_json_dict()


def encoded(ds: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax == IMPLICIT, syntax != BIG_ENDIAN
    write_dataset(buffer, ds)
    return buffer.getvalue()


def test_keys_with_a_value_match_and_all_come_back() -> None:
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "R1", ""
    question = asked("study", PatientName="A*", StudyDate="", RequestAttributesSequence=[item])
    found = inquiry(question, STUDY_ROOT, relational=False)
    assert found.level is Level.STUDY
    assert found.keys == (("PatientName", "A*"), ("RequestAttributesSequence.RequestedProcedureID", "R1"))
    assert set(found.include) == {"00100010", "00080020", "00400275"}


def test_several_values_travel_with_backslashes() -> None:
    question = asked("STUDY", StudyInstanceUID=["1.2", "1.3"], ModalitiesInStudy=["CT", "MR"])
    assert set(inquiry(question, STUDY_ROOT, relational=False).keys) == {
        ("StudyInstanceUID", "1.2\\1.3"),
        ("ModalitiesInStudy", "CT\\MR"),
    }


@pytest.mark.parametrize(
    ("question", "service", "offending"),
    [
        (asked(PatientName="A"), STUDY_ROOT, "00080052"),
        (asked("PATIENT"), STUDY_ROOT, "00080052"),
        (asked("WHATEVER"), PATIENT_ROOT, "00080052"),
        (asked("SERIES"), STUDY_ROOT, STUDY),
        (asked("SERIES", StudyInstanceUID=["1.2", "1.3"]), STUDY_ROOT, STUDY),
        (asked("IMAGE", StudyInstanceUID="1.2"), STUDY_ROOT, SERIES),
        (asked("STUDY"), PATIENT_ROOT, "00100020"),
        (asked("STUDY", PatientID="A*"), PATIENT_ROOT, "00100020"),
    ],
)
def test_a_level_that_is_not_there_and_a_missing_entity_above_it_are_refused(
    question: dict[str, Any], service: Any, offending: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        inquiry(question, service, relational=False)
    assert (refused.value.status, refused.value.offending) == (0xA900, offending)


def test_a_relational_query_may_leave_the_levels_above_open() -> None:
    assert inquiry(asked("IMAGE"), STUDY_ROOT, relational=True).level is Level.IMAGE


def test_a_retrieval_names_its_entities_and_what_is_above_them() -> None:
    question = asked(
        "IMAGE", PatientID="P", StudyInstanceUID="1.2", SeriesInstanceUID="1.2.3", SOPInstanceUID=["1", "2"]
    )
    assert retrieval(question, PATIENT_ROOT, relational=False) == Retrieval(
        Level.IMAGE, "P", ("1.2",), ("1.2.3",), ("1", "2")
    )
    assert retrieval(asked("STUDY", StudyInstanceUID=["1", "2"]), STUDY_ROOT, relational=False).studies == ("1", "2")
    assert retrieval(asked("SERIES", SeriesInstanceUID="1"), STUDY_ROOT, relational=True).studies == ()


@pytest.mark.parametrize(
    "question",
    [
        asked("STUDY"),
        asked("STUDY", StudyInstanceUID=""),
        asked("SERIES", SeriesInstanceUID="1.2"),
        {**asked("STUDY"), STUDY: {"vr": "UI", "Value": ["1.*"]}},
    ],
)
def test_a_retrieval_that_names_nothing_is_refused(question: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        retrieval(question, STUDY_ROOT, relational=False)


def test_an_answer_has_what_was_asked_for_and_nothing_else() -> None:
    item = Dataset()
    item.RequestedProcedureID = ""
    question = inquiry(
        asked("STUDY", PatientName="", KVP="", RequestAttributesSequence=[item]), STUDY_ROOT, relational=False
    )
    match = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]},
        "00100020": {"vr": "LO", "Value": ["not asked for"]},
        "00400275": {
            "vr": "SQ",
            "Value": [{"00401001": {"vr": "SH", "Value": ["R"]}, "00400009": {"vr": "SH", "Value": ["S"]}}],
        },
    }
    assert question.identifier(match, "PLEXUS") == {
        "00080052": {"vr": "CS", "Value": ["STUDY"]},
        "00080054": {"vr": "AE", "Value": ["PLEXUS"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]},
        "00180060": {"vr": "DS"},
        "00400275": {"vr": "SQ", "Value": [{"00401001": {"vr": "SH", "Value": ["R"]}}]},
    }


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 144", "Гусева^Ирина"), ("ISO_IR 192", "山田^太郎"), (["", "ISO 2022 IR 87"], "A=山田^太郎")],
)
def test_an_identifier_is_read_in_its_character_set(syntax: str, charset: Any, name: str) -> None:
    ds = Dataset()
    ds.SpecificCharacterSet, ds.QueryRetrieveLevel, ds.PatientName = charset, "STUDY", name
    ds.SeriesNumber, ds.Rows, ds.StudyInstanceUID = "7", 512, "1.2.3"
    found = identifiers.read(encoded(ds, syntax), syntax)
    inquired = dict(inquiry(found, STUDY_ROOT, relational=False).keys)
    assert inquired == {"PatientName": name, "SeriesNumber": "7", "Rows": "512", "StudyInstanceUID": "1.2.3"}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(
    ("name", "term", "answered"),
    [
        ("Smith^John", "ISO_IR 144", None),
        ("Гусева^Ирина", "ISO_IR 144", "ISO_IR 144"),
        ("Гусева^Ирина", "ISO_IR 100", "ISO_IR 192"),
        ("Гусева^Ирина", "", "ISO_IR 192"),
        ("Müller^Jörg", "ISO_IR 100", "ISO_IR 100"),
        ("山田^太郎", "ISO 2022 IR 87", "ISO_IR 192"),
        ("王^小东", "GB18030", "GB18030"),
    ],
)
def test_an_answer_is_written_in_the_set_that_was_asked_in_or_in_utf_8(
    syntax: str, name: str, term: str, answered: str | None
) -> None:
    question = {"00080005": {"vr": "CS", "Value": [term]}} if term else {}
    item = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}, "00280010": {"vr": "US", "Value": [3]}}
    attributes = {
        "00080020": {"vr": "DA"},
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "00200013": {"vr": "IS", "Value": [7]},
        "00101030": {"vr": "DS", "Value": [70.5]},
        "00209165": {"vr": "AT", "Value": ["00100010"]},
        "00189087": {"vr": "FD", "Value": [0.25]},
        "00400275": {"vr": "SQ", "Value": [item]},
        "00104000": {"vr": "LT", "Value": ["x" * 70_000 if syntax == IMPLICIT else "x"]},
    }
    written = identifiers.write(attributes, syntax, asked=question)
    ds = dcmread(BytesIO(bytes(128) + b"DICM" + _meta(syntax) + written))
    assert ds.get("SpecificCharacterSet") == answered
    inner = ds.RequestAttributesSequence[0]
    assert (str(inner.PatientName), inner.Rows) == (name, 3)
    assert (ds.StudyDate, ds.InstanceNumber, ds.PatientWeight, ds[0x00189087].value) == ("", 7, 70.5, 0.25)
    assert ds.StudyInstanceUID == "1.2.3"


def _meta(syntax: str) -> bytes:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    return b"\2\0\x10\0UI" + len(uid).to_bytes(2, "little") + uid


def test_bytes_that_are_no_data_set_are_refused() -> None:
    with pytest.raises(RefusedError):
        identifiers.read(b"\x08\x00\x52\x00CS\xff\xff", EXPLICIT)
