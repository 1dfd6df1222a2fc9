import pytest

from services.dicom import transfer_syntaxes, uids
from services.dicom.attributes import INSTANCE, SERIES, STUDY, keyword_of, tag_of, vr_of
from services.dicom.native_xml import native_xml
from services.dicom.part10 import parse_instance
from tests.unit.dicom.samples import shipped


@pytest.mark.parametrize("name", ["PatientName", "00100010", "0010,0010", "(0010,0010)"])
def test_an_attribute_is_found_by_any_of_its_names(name: str) -> None:
    assert tag_of(name) == "00100010"


@pytest.mark.parametrize("name", ["", "Nothing", "0010001", "patientname", "0010-0010"])
def test_what_names_no_attribute_is_none(name: str) -> None:
    assert tag_of(name) is None


def test_private_tags_have_neither_keyword_nor_vr() -> None:
    assert keyword_of("00091001") == ""
    assert vr_of("00091001") == "UN"


def test_each_level_has_its_attributes_once() -> None:
    for level in (STUDY, SERIES, INSTANCE):
        assert len({attribute.tag for attribute in level}) == len(level)


def test_transfer_syntaxes_are_unique_and_found_by_uid() -> None:
    assert len({syntax.uid for syntax in transfer_syntaxes.ALL}) == len(transfer_syntaxes.ALL)
    for syntax in transfer_syntaxes.ALL:
        assert transfer_syntaxes.lookup(syntax.uid) is syntax
        assert not (syntax.encapsulated and syntax.big_endian)
    assert transfer_syntaxes.lookup("1.2.3") is None


def test_uids_that_we_make_are_legal_and_differ() -> None:
    made = {
        uids.new_uid(),
        uids.new_uid(),
        uids.derived_uid("a"),
        uids.derived_uid("a", ""),
        uids.keyed_uid(b"k", "1.2"),
    }
    assert len(made) == 5
    assert all(map(uids.is_legal, made))


def test_derived_uids_are_the_same_each_time_and_depend_on_how_parts_are_split() -> None:
    assert uids.derived_uid("job", "1.2.3") == uids.derived_uid("job", "1.2.3")
    assert uids.derived_uid("job1", ".2.3") != uids.derived_uid("job", "1.2.3")


def test_a_keyed_uid_depends_on_the_key() -> None:
    assert uids.keyed_uid(b"one", "1.2.3") == uids.keyed_uid(b"one", "1.2.3")
    assert uids.keyed_uid(b"one", "1.2.3") != uids.keyed_uid(b"two", "1.2.3")


def test_a_data_set_is_written_as_native_xml() -> None:
    xml = native_xml(parse_instance(shipped("chrH31.dcm")).attributes).decode()
    assert '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1">' in xml
    assert "<Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic>" in xml
