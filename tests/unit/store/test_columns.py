"""From attributes to what is searched."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dicom import uids
from services.dicom.dicom_json import loads
from services.dicom.part10 import parse_instance
from services.store import columns, terms
from services.store.model import Entry
from tests.unit.ingest.made import made


def entry(**attributes: Any) -> Entry:
    file = made(**attributes)
    return Entry.of(parse_instance(file), digest="0" * 64, size=len(file))


def study(**attributes: Any) -> dict[str, object]:
    return dict(zip(columns.STUDY_COLUMNS, columns.study_row(entry(**attributes)), strict=True))


def series(**attributes: Any) -> dict[str, object]:
    return dict(zip(columns.SERIES_COLUMNS, columns.series_row(entry(**attributes)), strict=True))


def test_a_name_lies_folded_between_its_delimiters() -> None:
    row = study(SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Jürgen^^=山田^太郎")

    assert row["patient_name"] == "=muller^jurgen=山田^太郎="


def test_what_is_missing_is_empty() -> None:
    row = study(PatientName=None, StudyDate=None, StudyTime=None)

    assert (row["patient_name"], row["study_date"], row["study_time"], row["accession_number"]) == ("", "", "", "")


@pytest.mark.parametrize(
    ("value", "column"),
    [("20240229", "20240229"), ("2004.01.19", "20040119"), ("202402", ""), ("", ""), ("gestern", "")],
)
def test_a_date_is_eight_digits_or_nothing(value: str, column: str) -> None:
    assert columns.date_column(value) == column


@pytest.mark.parametrize(
    ("value", "column"),
    [
        ("10", "100000.000000"),
        ("1015", "101500.000000"),
        ("101530.5", "101530.500000"),
        ("10:15:30", "101530.000000"),
        ("x", ""),
        ("", ""),
    ],
)
def test_a_time_is_filled_up_so_that_it_sorts(value: str, column: str) -> None:
    assert columns.time_column(value) == column


def test_attributes_of_items_stay_with_their_items() -> None:
    from pydicom.dataset import Dataset

    first, second = Dataset(), Dataset()
    first.RequestedProcedureID, first.ScheduledProcedureStepID = "RP1", "S1"
    second.RequestedProcedureID = "RP2"

    more = loads(str(series(RequestAttributesSequence=[first, second])["more"]))

    assert more["00400275"] == [{"00400009": ["s1"], "00401001": ["rp1"]}, {"00401001": ["rp2"]}]


def test_what_has_no_column_is_kept_as_it_is_matched() -> None:
    more = loads(str(study(InstitutionName="Spital Zürich", PatientAge="041Y", PatientWeight="70.50")["more"]))

    assert more["00080080"] == ["spital zurich"]
    assert more["00101010"] == ["041Y"]
    assert more["00101030"] == ["70.5"]


def test_a_moment_is_known_where_date_time_and_offset_are() -> None:
    more = loads(str(study(StudyDate="20240101", StudyTime="0030", TimezoneOffsetFromUTC="+0100")["more"]))
    assert more["moments"] == {"Study": "2023-12-31T23:30:00"}
    assert "moments" not in loads(str(study(StudyDate="20240101", StudyTime="0030")["more"]))
    assert "moments" not in loads(
        str(study(StudyDate="20240101", StudyTime=None, TimezoneOffsetFromUTC="+0100")["more"])
    )


@given(st.text("aAé*?= ^", min_size=1, max_size=8), st.text("aAé*?= ^", max_size=8))
def test_whatever_a_pattern_matches_has_all_its_terms(value: str, pattern: str) -> None:
    column = columns.folded_column(value)
    pieces = terms.pieces_of(pattern)
    wild = {terms.RUN: ".*", terms.ONE: "."}
    if re.fullmatch("".join(wild.get(piece) or re.escape(piece) for piece in pieces), column, re.DOTALL) and column:
        assert terms.triples_of_pattern("k", pieces) <= terms.triples("k", column)


def test_a_number_that_is_none_or_too_large_is_left_out() -> None:
    assert series(SeriesNumber=None)["series_number"] is None
    assert series(SeriesNumber=7)["series_number"] == 7
    assert columns._integer("9" * 30, columns._INT64) is None
    assert columns._integer("seven", columns._INT64) is None


def test_study_and_series_attributes_are_kept_apart_and_counts_are_not_among_them() -> None:
    row, below = study(StudyDescription="Thorax"), series(SeriesDescription="axial")

    assert b"Thorax" in row["attributes"] and b"axial" not in row["attributes"]  # type: ignore[operator]
    assert b"axial" in below["attributes"] and b"Muster" not in below["attributes"]  # type: ignore[operator]


@given(st.text())
def test_any_text_fits_a_column(value: str) -> None:
    assert "\0" not in columns.folded_column(value)
    framed = columns.name_column(value)
    assert framed == "" or (framed.startswith("=") and framed.endswith("="))


def test_an_entry_names_what_the_index_needs() -> None:
    uid = uids.new_uid()
    row = dict(zip(columns.INSTANCE_COLUMNS, columns.instance_row(entry(SOPInstanceUID=uid)), strict=True))

    assert row["sop_instance_uid"] == uid
    assert (row["rows"], row["columns"], row["bits_allocated"], row["number_of_frames"]) == (8, 8, 16, None)
    assert row["digest"] == bytes(32)
