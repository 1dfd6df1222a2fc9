"""The table of the standard as data, and the resolution of its compound codes."""

import csv
from collections import Counter
from importlib.resources import files

import pytest

from services.anonymise.engine.options import OF_PIXELS, Option
from services.anonymise.engine.table import RANGES, ROOT, resolve, standard_table
from services.anonymise.model import Action, Code

CT, SEG, GSPS, SR = (f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("2", "66.4", "11.1", "88.33"))


def rows() -> list[dict[str, str]]:
    table = files("services.anonymise.engine") / "profiles" / "ps3.15-2026c-table-e1-1.csv"
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


def test_the_table_has_the_rows_and_actions_of_edition_2026c() -> None:
    assert len(rows()) == 656
    assert len({row["tag"] for row in rows()}) == 656
    assert Counter(row["basic"] for row in rows()) == {
        "X": 416,
        "D": 93,
        "U": 55,
        "Z": 42,
        "X/D": 23,
        "X/Z": 11,
        "X/Z/D": 8,
        "Z/D": 6,
        "X/Z/U*": 2,
    }


def test_every_option_has_its_column_and_every_cell_is_counted() -> None:
    columns = [option.column for option in Option if option not in OF_PIXELS]
    assert {column: Counter(row[column] for row in rows() if row[column]) for column in columns} == {
        "retain_safe_private": {"C": 1},
        "retain_uids": {"K": 60},
        "retain_device_identity": {"K": 48, "C": 11},
        "retain_institution_identity": {"K": 10},
        "retain_patient_characteristics": {"K": 14, "C": 5},
        "retain_longitudinal_full_dates": {"K": 169},
        "retain_longitudinal_modified_dates": {"C": 169},
        "clean_descriptors": {"C": 135},
        "clean_structured_content": {"C": 3},
        "clean_graphics": {"C": 4},
    }


def test_the_edition_of_every_row_of_options_is_told() -> None:
    assert Counter(row["options_edition"] for row in rows()) == {
        "2020": 426,
        "2024b": 194,
        "2026c": 8,
        "two-sources": 21,
        "": 7,
    }
    assert not any(
        row[option.column]
        for row in rows()
        if not row["options_edition"]
        for option in Option
        if option not in OF_PIXELS
    )


def test_the_ranges_of_the_table_are_four() -> None:
    assert {row["tag"] for row in rows() if not all(c in "0123456789abcdef" for c in row["tag"])} == set(RANGES)
    assert len(standard_table().rows) == 652


@pytest.mark.parametrize(
    ("code", "of_type_1", "of_type_2", "of_type_3"),
    [
        (Code.D, Action.DUMMY, Action.DUMMY, Action.DUMMY),
        (Code.U, Action.UID, Action.UID, Action.UID),
        (Code.Z_D, Action.DUMMY, Action.EMPTY, Action.EMPTY),
        (Code.X_Z, Action.EMPTY, Action.EMPTY, Action.REMOVE),
        (Code.X_D, Action.DUMMY, Action.DUMMY, Action.REMOVE),
        (Code.X_Z_D, Action.DUMMY, Action.EMPTY, Action.REMOVE),
        (Code.X_Z_U, Action.UID, Action.UID, Action.REMOVE),
    ],
)
def test_a_compound_code_takes_the_least_that_keeps_the_instance_valid(
    code: Code, of_type_1: Action, of_type_2: Action, of_type_3: Action
) -> None:
    assert [resolve(code, kind) for kind in ("1", "1C", "2", "2C", "3")] == [
        of_type_1,
        of_type_1,
        of_type_2,
        of_type_2,
        of_type_3,
    ]


def test_a_plain_code_gives_way_to_what_an_iod_always_asks_for() -> None:
    types = ("1", "1C", "2", "2C", "3")
    removed, emptied, dummied = Action.REMOVE, Action.EMPTY, Action.DUMMY
    assert [resolve(Code.X, kind) for kind in types] == [dummied, removed, emptied, removed, removed]
    assert [resolve(Code.Z, kind) for kind in types] == [dummied, emptied, emptied, emptied, emptied]


@pytest.mark.parametrize(
    ("sop_class_uid", "parent", "tag", "kind"),
    [
        (CT, ROOT, 0x00080023, "2C"),  # Content Date
        (CT, ROOT, 0x00080080, "3"),  # Institution Name
        (CT, 0x00081049, 0x00080080, "1C"),  # the same, of a physician
        (SEG, ROOT, 0x00080023, "1"),
        (GSPS, 0x00081115, 0x00081140, "1"),  # Referenced Image Sequence of a series
        (SR, ROOT, 0x00081111, "2"),  # Referenced Performed Procedure Step Sequence
        ("1.2.3", ROOT, 0x00080023, "3"),
    ],
)
def test_the_type_is_looked_up_in_the_iod_and_at_the_place(
    sop_class_uid: str, parent: int, tag: int, kind: str
) -> None:
    assert standard_table().types(sop_class_uid).get((parent, tag), "3") == kind
