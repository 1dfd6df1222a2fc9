"""The table of the standard as data, and the resolution of its compound codes."""

import csv
from collections import Counter
from importlib.resources import files

import pytest

from services.anonymise.model import Action, Code
from services.anonymise.profile import ROOT, basic_profile, resolve

CT = "1.2.840.10008.5.1.4.1.1.2"


def rows() -> list[dict[str, str]]:
    table = files("services.anonymise") / "profiles" / "ps3.15-2026c-table-e1-1.csv"
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


def test_the_option_columns_name_the_edition_that_they_are_of() -> None:
    assert Counter(row["options_edition"] for row in rows()) == {"2020": 432, "": 224}
    assert {row["retain_uids"] for row in rows() if row["basic"] == "U"} <= {"K", ""}


def test_the_ranges_of_the_table_are_four() -> None:
    assert {row["tag"] for row in rows() if not all(c in "0123456789abcdef" for c in row["tag"])} == {
        "50xxxxxx",
        "60xx3000",
        "60xx4000",
        "gggggggg",
    }
    assert len(basic_profile().codes) == 652


@pytest.mark.parametrize(
    ("code", "of_type_1", "of_type_2", "of_type_3"),
    [
        (Code.X, Action.REMOVE, Action.REMOVE, Action.REMOVE),
        (Code.Z, Action.EMPTY, Action.EMPTY, Action.EMPTY),
        (Code.D, Action.DUMMY, Action.DUMMY, Action.DUMMY),
        (Code.U, Action.UID, Action.UID, Action.UID),
        (Code.Z_D, Action.DUMMY, Action.EMPTY, Action.EMPTY),
        (Code.X_Z, Action.EMPTY, Action.EMPTY, Action.REMOVE),
        (Code.X_D, Action.DUMMY, Action.DUMMY, Action.REMOVE),
        (Code.X_Z_D, Action.DUMMY, Action.EMPTY, Action.REMOVE),
        (Code.X_Z_U, Action.UID, Action.EMPTY, Action.REMOVE),
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


def test_the_type_is_looked_up_in_the_iod_and_at_the_place() -> None:
    profile = basic_profile()
    content_date, institution_name, physicians = 0x00080023, 0x00080080, 0x00081049
    assert profile.action(Code.Z_D, CT, ROOT, content_date) is Action.EMPTY
    assert profile.action(Code.X_Z_D, CT, ROOT, institution_name) is Action.REMOVE
    assert profile.action(Code.X_Z_D, CT, physicians, institution_name) is Action.DUMMY
    assert profile.action(Code.X_Z_D, "1.2.3", physicians, institution_name) is Action.REMOVE
