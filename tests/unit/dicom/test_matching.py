import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dicom.matching import (
    AnyOf,
    Condition,
    MatchingError,
    Range,
    Universal,
    Wildcard,
    fold,
    like_pattern,
    matches,
    parse_condition,
)


@pytest.mark.parametrize(
    ("keyword", "text", "condition"),
    [
        ("PatientName", "Doe^Jane", AnyOf(("Doe^Jane",))),
        ("PatientName", "*doe*", Wildcard("*doe*")),
        ("PatientName", "", Universal()),
        ("PatientName", "*", Universal()),
        ("00100020", "PH40", AnyOf(("PH40",))),
        ("PatientID", "*PH?0*", Wildcard("*PH?0*")),
        ("PatientID", "a,b", AnyOf(("a,b",))),
        ("ModalitiesInStudy", "CT,MR", AnyOf(("CT", "MR"))),
        ("Modality", "ct", AnyOf(("CT",))),
        ("Modality", "C*", Wildcard("C*")),
        ("StudyInstanceUID", "1.2,1.3", AnyOf(("1.2", "1.3"))),
        ("StudyInstanceUID", "1.2\\1.3", AnyOf(("1.2", "1.3"))),
        ("StudyDate", "20240131", AnyOf(("20240131",))),
        ("StudyDate", "20240101-20240131", Range("20240101", "20240131")),
        ("StudyDate", "20240101-", Range("20240101", "")),
        ("StudyDate", "-20240131", Range("", "20240131")),
        ("StudyTime", "08-0930", Range("08", "0930")),
        ("InstanceNumber", "007", AnyOf(("7",))),
        ("RequestAttributesSequence.RequestedProcedureID", "P1", AnyOf(("P1",))),
    ],
)
def test_a_key_is_read_by_the_kind_of_its_attribute(keyword: str, text: str, condition: Condition) -> None:
    assert parse_condition(keyword, text) == condition


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("StudyDate", "yesterday"),
        ("StudyDate", "2024-01-31"),
        ("StudyDate", "-"),
        ("StudyTime", "8:30"),
        ("StudyInstanceUID", "1.2,"),
        ("StudyInstanceUID", "1.2.*"),
        ("InstanceNumber", "one"),
        ("ModalitiesInStudy", "CT,M*"),
        ("PixelData", "x"),
        ("RequestAttributesSequence", "x"),
        ("NoSuchKeyword", "x"),
    ],
)
def test_a_value_that_is_none_for_its_attribute_is_refused_without_repeating_it(keyword: str, text: str) -> None:
    with pytest.raises(MatchingError) as caught:
        parse_condition(keyword, text)
    assert keyword in str(caught.value)
    assert f" {text} " not in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "vr", "value", "expected"),
    [
        (Wildcard("гусева*"), "PN", "Гусева^Анна", True),
        (Wildcard("*MULLER*"), "PN", "Müller^Hans", True),
        (Wildcard("yamada*"), "PN", "Yamada^Tarou=山田^太郎", True),
        (Wildcard("山田*"), "PN", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        (AnyOf(("doe^jane",)), "PN", "Doe^Jane^^", True),
        (AnyOf(("doe",)), "PN", "Doe^Jane", False),
        (Wildcard("D?e*"), "PN", "Doe^Jane", True),
        (Wildcard("*chest*"), "LO", "CT Chest native", True),
        (Wildcard("a.c"), "LO", "abc", False),
        (AnyOf(("CT",)), "CS", "CT", True),
        (AnyOf(("CT",)), "CS", "ct", False),
        (Range("20240101", "20240131"), "DA", "20240131", True),
        (Range("20240101", "20240131"), "DA", "20240201", False),
        (Range("", "20240131"), "DA", "19990101", True),
        (Range("20240101", ""), "DA", "19990101", False),
        (Range("08", "09"), "TM", "093000.5", True),
        (Range("08", "09"), "TM", "100000", False),
    ],
)
def test_values_answer_conditions(condition: Condition, vr: str, value: str, expected: bool) -> None:
    assert matches(condition, vr, [value]) is expected


def test_a_universal_key_matches_a_missing_value_and_no_other_does() -> None:
    assert matches(Universal(), "LO", [])
    for condition in (AnyOf(("x",)), Wildcard("x*"), Range("1", "2")):
        assert not matches(condition, "LO", [])


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing_more_and_case_never_counts(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper()) == fold(text.upper().casefold())


@given(pattern=st.text("ab*?%_\\", max_size=8), value=st.text("ab%_\\", max_size=8))
def test_the_pattern_for_sql_says_the_same_as_the_obvious_model(pattern: str, value: str) -> None:
    like = like_pattern(pattern)
    meaning = {"%": ".*", "_": "."}
    tokens = re.findall(r"\\.|[^\\]", like, re.DOTALL)
    expression = "".join(
        re.escape(token[1]) if token[0] == "\\" else meaning.get(token, re.escape(token)) for token in tokens
    )
    assert bool(re.fullmatch(expression, value)) is matches(Wildcard(pattern), "CS", [value])
