import pytest

from services.archive.errors import InvalidQuery
from services.archive.searching import Search, parse_search
from services.dicom.matching import AllOf, AnyOf, Empty, Fuzzy, Range, Universal, Wildcard
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


def test_keys_of_the_levels_below_count_too() -> None:
    search = parsed(("SOPInstanceUID", "1.2"), ("Modality", "CT"))
    assert set(search.query.conditions) == {"SOPInstanceUID", "Modality"}
    assert not search.warnings


def test_a_key_that_is_not_supported_is_ignored_and_named() -> None:
    search = parsed(("SliceThickness", "1"), ("00400275.00400100.00400002", "20240101"), ("orderby", "StudyDate"))
    assert search.query.conditions == {}
    assert "SliceThickness" in search.warnings[0]
    assert "RequestAttributesSequence.ScheduledProcedureStepSequence" in search.warnings[1]
    assert "unknown name" in search.warnings[2]


def test_what_is_asked_for_is_answered_also_as_a_key_without_value() -> None:
    search = parsed(("StudyDescription", "*ct*"), ("PatientAge", ""), ("SliceThickness", ""), ("Modality", "CT"))
    assert search.include == {"00081030", "00101010", "00180050"}


@pytest.mark.parametrize(
    ("text", "minutes"), [("+0100", 60), (" 0100", 60), ("-0330", -210), ("+0000", 0), ("", None), ("*", None)]
)
def test_dates_may_be_of_another_time_zone(text: str, minutes: int | None) -> None:
    assert parsed(("TimezoneOffsetFromUTC", text)).query.offset_from_utc == minutes


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
    search = parsed(("includefield", "00081030,PatientAge,00400275.00401001"), ("includefield", "nonsense"))
    assert search.include == {"00081030", "00101010", "00400275.00401001"}
    assert not search.everything
    assert search.warnings == ("an includefield of an unknown name was ignored",)
    assert parsed(("includefield", "ALL")).everything


def test_the_ways_of_matching_hold_for_all_keys_wherever_they_stand() -> None:
    name = ("PatientName", "muller")
    assert parsed(name, ("fuzzymatching", "true")).query.conditions == {
        "PatientName": Fuzzy(("muller",), AnyOf(("muller",)))
    }
    assert parsed(("fuzzymatching", "false"), name).query.conditions == {"PatientName": AnyOf(("muller",))}
    assert parsed(("AccessionNumber", '""'), ("emptyvaluematching", "true")).query.conditions == {
        "AccessionNumber": Empty()
    }
    assert parsed(("ModalitiesInStudy", "CT\\PT"), ("multiplevaluematching", "true")).query.conditions == {
        "ModalitiesInStudy": AllOf(("CT", "PT"))
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "-1"),
        ("limit", "1e3"),
        ("limit", "９"),
        ("offset", ""),
        ("fuzzymatching", "maybe"),
        ("emptyvaluematching", "1"),
        ("TimezoneOffsetFromUTC", "CET"),
        ("StudyDate", "1 May"),
        ("StudyInstanceUID", "../../etc"),
    ],
)
def test_an_invalid_value_is_refused_by_the_name_of_its_key_alone(name: str, value: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parsed((name, value))
    assert name in caught.value.reason
    assert not value or f" {value} " not in caught.value.reason
