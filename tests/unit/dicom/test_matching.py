import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dicom.matching import (
    AllOf,
    AnyOf,
    Condition,
    Empty,
    Fuzzy,
    MatchingError,
    Range,
    Universal,
    Wildcard,
    fold,
    parse_condition,
    sound,
    words_of,
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
        ("PatientID", '""', AnyOf(('""',))),
        ("ModalitiesInStudy", "CT,MR", AnyOf(("CT", "MR"))),
        ("ModalitiesInStudy", "CT\\MR", AnyOf(("CT", "MR"))),
        ("Modality", "ct", AnyOf(("CT",))),
        ("Modality", "C*", Wildcard("C*")),
        ("StudyInstanceUID", "1.2,1.3", AnyOf(("1.2", "1.3"))),
        ("StudyInstanceUID", "1.2\\1.3", AnyOf(("1.2", "1.3"))),
        ("StudyDate", "20240131", AnyOf(("20240131",))),
        ("StudyDate", "2024.01.31", AnyOf(("20240131",))),
        ("StudyDate", "20240101-20240131", Range("20240101", "20240131")),
        ("StudyDate", "20240101-", Range("20240101", "")),
        ("StudyDate", "-20240131", Range("", "20240131")),
        ("StudyTime", "08-0930", Range("08", "0930")),
        ("StudyTime", "08:15", AnyOf(("0815",))),
        ("InstanceNumber", "007", AnyOf(("7",))),
        ("PatientWeight", "70.50", AnyOf(("70.5",))),
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
        ("StudyDate", "20240230"),
        ("StudyDate", "-"),
        ("StudyDate", '""'),
        ("StudyTime", "8:30"),
        ("StudyTime", "2400"),
        ("StudyInstanceUID", "1.2,"),
        ("StudyInstanceUID", "1.2.*"),
        ("InstanceNumber", "one"),
        ("InstanceNumber", "９"),
        ("ModalitiesInStudy", "CT,M*"),
        ("ModalitiesInStudy", "CT,"),
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


def test_two_quotation_marks_ask_for_no_value_where_that_was_agreed() -> None:
    assert parse_condition("StudyDate", '""', empty=True) == Empty()
    assert parse_condition("RequestAttributesSequence", '""', empty=True) == Empty()


def test_several_values_are_all_to_be_there_where_that_was_agreed() -> None:
    assert parse_condition("ModalitiesInStudy", "CT\\PT", multiple=True) == AllOf(("CT", "PT"))
    assert parse_condition("StudyInstanceUID", "1.2\\1.3", multiple=True) == AnyOf(("1.2", "1.3"))
    with pytest.raises(MatchingError):
        parse_condition("ModalitiesInStudy", "CT\\P*", multiple=True)


def test_fuzzy_matching_goes_by_the_words_of_person_names_alone() -> None:
    assert parse_condition("PatientName", "Müller, Jürgen*", fuzzy=True) == Fuzzy(
        ("muller", "jurgen"), Wildcard("Müller, Jürgen*")
    )
    assert parse_condition("PatientID", "Müller", fuzzy=True) == AnyOf(("Müller",))
    assert parse_condition("PatientName", "*^*", fuzzy=True) == Wildcard("*^*")


@pytest.mark.parametrize(
    ("word", "heard"),
    [("robert", "r163"), ("rupert", "r163"), ("ashcraft", "a261"), ("tymczak", "t522"), ("pfister", "p236"),
     ("meyer", "m600"), ("гусева", ""), ("o", ""), ("4711", "")],
)  # fmt: skip
def test_a_word_sounds_as_soundex_has_it(word: str, heard: str) -> None:
    assert sound(word) == heard


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing_more_and_case_never_counts(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper()) == fold(text.upper().casefold())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MÜLLER", "muller"),
        ("Łukasz", "lukasz"),
        ("Гусёва", "гусева"),
        ("STRASSE", "Straße"),
        ("ｶﾅ", "カナ"),
        ("Ǿ", "o"),
    ],
)
def test_what_people_type_and_what_was_stored_fold_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_a_korean_syllable_stays_one_character() -> None:
    assert fold("김") == "김"
    assert words_of("Hong^Gildong=洪^吉洞=홍^길동") == ("hong", "gildong", "洪", "吉洞", "홍", "길동")
