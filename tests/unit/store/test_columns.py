"""From attributes to what is searched."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dicom import uids
from services.dicom.part10 import parse_instance
from services.store import columns
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


def test_request_attributes_are_sets_of_all_items() -> None:
    from pydicom.dataset import Dataset

    first, second = Dataset(), Dataset()
    first.RequestedProcedureID, first.ScheduledProcedureStepID = "RP1", "S1"
    second.RequestedProcedureID = "RP2"

    row = series(RequestAttributesSequence=[first, second])

    assert row["requested_procedure_ids"] == ["rp1", "rp2"]
    assert row["scheduled_procedure_step_ids"] == ["s1"]


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
