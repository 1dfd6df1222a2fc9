"""From rows to answers."""

from __future__ import annotations

from typing import Any

from services.archive.answering import answer, answer_json, shape_of, wants_above, wants_metadata
from services.archive.searching import Search, parse_search
from services.dicom.dicom_json import dumps, loads
from services.store.model import Found, Level, SeriesRow, StudyRow

ROOT = "http://here/dicom-web"


def asked(query: str, level: Level = Level.STUDY, **named: str) -> Search:
    parameters = [(name, value) for name, _, value in (each.partition("=") for each in query.split("&")) if name]
    return parse_search(level, parameters, max_results=10, **named)


def study(**attributes: Any) -> Found:
    told = {"0020000D": {"vr": "UI", "Value": ["1.2"]}} | {tag.lstrip("_"): each for tag, each in attributes.items()}
    return Found(study=StudyRow("1.2", ("CT",), ("1.2.3",), 1, 2, 2, dumps(told)))


def test_what_the_standard_wants_is_answered_in_order_also_without_a_value() -> None:
    made = answer(study(_00100010={"vr": "PN", "Value": [{"Alphabetic": "A"}]}), shape_of(asked(""), ROOT))
    assert list(made) == sorted(made)
    assert made["00100010"]["Value"] == [{"Alphabetic": "A"}]
    assert made["00080050"] == {"vr": "SH"}
    assert made["00081190"]["Value"] == [f"{ROOT}/studies/1.2"]
    assert made["00201208"]["Value"] == [2]
    assert "00081030" not in made
    assert "00080005" not in made


def test_what_is_matched_or_asked_for_is_answered_too() -> None:
    row = study(_00081030={"vr": "LO", "Value": ["CT"]}, _00101010={"vr": "AS", "Value": ["041Y"]})
    made = answer(row, shape_of(asked("StudyDescription=c*&includefield=PatientAge,00080062"), ROOT))
    assert made["00081030"]["Value"] == ["CT"]
    assert made["00101010"]["Value"] == ["041Y"]
    assert made["00080062"]["Value"] == ["1.2.3"]


def test_of_items_only_what_is_asked_for_is_answered() -> None:
    items = [{"00080100": {"vr": "SH", "Value": ["T1"]}, "00080104": {"vr": "LO", "Value": ["Thorax"]}}, None]
    row = study(_00081032={"vr": "SQ", "Value": items})
    made = answer(row, shape_of(asked("includefield=ProcedureCodeSequence.CodeValue"), ROOT))
    assert made["00081032"]["Value"] == [{"00080100": {"vr": "SH", "Value": ["T1"]}}, {}]


def test_what_lies_at_an_address_is_left_out_of_items_too() -> None:
    bulk = {"vr": "OB", "BulkDataURI": "instances/1/bulkdata/x"}
    item = {"00420011": bulk, "00080100": {"vr": "SH"}}
    made = answer(
        study(_00081032={"vr": "SQ", "Value": [item]}, _00420011=bulk), shape_of(asked("includefield=all"), ROOT)
    )
    assert made["00081032"]["Value"] == [{"00080100": {"vr": "SH"}}]
    assert "00420011" not in made


def test_json_is_the_same_and_told_apart_by_all_that_it_is_made_of() -> None:
    shape = shape_of(asked(""), ROOT)
    for name in ("A", "B", "A"):
        row = study(_00100010={"vr": "PN", "Value": [{"Alphabetic": name}]})
        assert loads(answer_json(row, shape)) == answer(row, shape)
    assert shape_of(asked("limit=5"), ROOT) is shape
    assert shape_of(asked(""), "http://there") is not shape


def test_rows_above_the_path_are_asked_for_only_where_they_are_wanted() -> None:
    assert not wants_above(asked("includefield=SeriesDescription", Level.SERIES, study_instance_uid="1.2"))
    assert wants_above(asked("includefield=StudyDescription", Level.SERIES, study_instance_uid="1.2"))
    assert not wants_above(asked("includefield=StudyDescription", Level.SERIES))
    assert not wants_metadata(asked("includefield=Rows", Level.INSTANCE))
    assert wants_metadata(asked("includefield=SliceThickness", Level.INSTANCE))
    assert not wants_metadata(asked("includefield=all", Level.SERIES))


def test_of_a_study_that_the_path_names_only_what_is_asked_for_is_answered() -> None:
    above = study(_00081030={"vr": "LO", "Value": ["CT"]}, _00100010={"vr": "PN", "Value": [{"Alphabetic": "A"}]})
    found = Found(study=above.study, series=SeriesRow("1.2", "1.2.3", "CT", 2, 2, dumps({})))
    search = asked("includefield=StudyDescription", Level.SERIES, study_instance_uid="1.2")
    made = answer(found, shape_of(search, ROOT))
    assert made["00081030"]["Value"] == ["CT"]
    assert made["0020000D"]["Value"] == ["1.2"]
    assert "00100010" not in made
