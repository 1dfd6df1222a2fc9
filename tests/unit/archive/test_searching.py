import pytest

from services.archive.errors import InvalidQuery
from services.archive.searching import Search, parse_search
from services.dicom.matching import AnyOf, Range, Universal, Wildcard
from services.store.model import Level


def parsed(*parameters: tuple[str, str], level: Level = Level.STUDY) -> Search:
    return parse_search(level, parameters, max_results=100)


def test_keys_are_read_by_keyword_or_tag() -> None:
    search = parsed(
        ("PatientName", "*doe*"),
        ("00100020", "P1"),
        ("StudyDate", "20240101-"),
        ("AccessionNumber", ""),
        ("modalitiesinstudy", "CT"),
    )
    assert search.query.conditions == {
        "PatientName": Wildcard("*doe*"),
        "PatientID": AnyOf(("P1",)),
        "StudyDate": Range("20240101", ""),
        "AccessionNumber": Universal(),
    }
    assert search.warnings == ("the key of an unknown name is not supported here and was ignored",)


def test_a_key_of_an_item_is_read_by_its_path() -> None:
    search = parsed(("00400275.00401001", "P1"), level=Level.SERIES)
    assert search.query.conditions == {"RequestAttributesSequence.RequestedProcedureID": AnyOf(("P1",))}


def test_keys_of_the_levels_above_count_below() -> None:
    search = parsed(("PatientID", "P1"), ("Modality", "CT"), ("InstanceNumber", "1"), level=Level.INSTANCE)
    assert set(search.query.conditions) == {"PatientID", "Modality", "InstanceNumber"}
    assert not search.warnings


def test_a_key_of_a_level_below_is_ignored_and_named() -> None:
    search = parsed(("SOPInstanceUID", "1.2"))
    assert search.query.conditions == {}
    assert "SOPInstanceUID" in search.warnings[0]


def test_lists_under_one_key_add_up_and_contradictions_are_refused() -> None:
    both = parsed(("StudyInstanceUID", "1.2"), ("0020000D", "1.3,1.4"))
    assert both.query.conditions == {"StudyInstanceUID": AnyOf(("1.2", "1.3", "1.4"))}
    with pytest.raises(InvalidQuery):
        parsed(("PatientName", "a*"), ("PatientName", "b*"))


def test_limit_is_capped_and_one_more_is_asked_of_the_index() -> None:
    assert (parsed().limit, parsed().query.limit) == (100, 101)
    assert (parsed(("limit", "5"), ("offset", "10")).query.limit, parsed(("offset", "10")).query.offset) == (6, 10)
    capped = parsed(("limit", "1000"))
    assert capped.limit == 100
    assert "at most 100" in capped.warnings[0]


def test_fields_are_collected_from_keywords_and_tags() -> None:
    search = parsed(("includefield", "00081030,PatientAge"), ("includefield", "nonsense"))
    assert search.include == {"00081030", "00101010"}
    assert not search.everything
    assert parsed(("includefield", "all")).everything


def test_fuzzy_matching_is_answered_with_the_warning_of_the_standard() -> None:
    assert not parsed(("fuzzymatching", "false")).warnings
    assert "Only literal matching" in parsed(("fuzzymatching", "true")).warnings[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "-1"),
        ("limit", "1e3"),
        ("limit", "９"),
        ("offset", ""),
        ("fuzzymatching", "maybe"),
        ("StudyDate", "1 May"),
        ("StudyInstanceUID", "../../etc"),
    ],
)
def test_an_invalid_value_is_refused_by_the_name_of_its_key_alone(name: str, value: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parsed((name, value))
    assert name in caught.value.reason
    assert not value or f" {value} " not in caught.value.reason
