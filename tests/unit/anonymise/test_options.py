"""What each option changes, and what it says that it did (PS3.15 E.3)."""

import io
from dataclasses import replace

import pydicom
import pytest
from pydicom.dataset import Dataset

from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.options import Option
from services.anonymise.engine.private import standard_safe_list
from services.anonymise.engine.profile import Profile, Rule, Treatment
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.model import Action, Because
from tests.unit.anonymise import planted
from tests.unit.anonymise.planted import ct, element, items, part10

KEY = Pseudonyms(b"k" * 32)
REGION = 0x00082218


def clean(*options: Option, elements: list[bytes], **more: object) -> Dataset:
    profile = replace(Profile(options=frozenset(options)), **more)  # type: ignore[arg-type]
    return pydicom.dcmread(io.BytesIO(deidentify(part10(elements), Policy(KEY, profile)).data))


def codes(ds: Dataset) -> list[str]:
    return [item.CodeValue for item in ds.DeidentificationMethodCodeSequence]


def test_modified_dates_move_by_one_number_of_days_for_a_patient_and_keep_their_distances() -> None:
    def moved(study: bytes, *more: bytes) -> Dataset:
        return clean(
            Option.RETAIN_MODIFIED_DATES,
            elements=ct(
                element(0x00080020, "DA", b"20200301"),
                element(0x00080022, "DA", b"20200229"),
                element(0x00080030, "TM", b"235959.5"),
                element(0x0008002A, "DT", b"20200301000500.25+0100"),
                element(0x00100030, "DA", b"19470815"),
                element(0x0020000D, "UI", study),
                *more,
            ),
        )

    first, later = moved(b"1.2.3"), moved(b"1.2.4")
    assert first.StudyDate == later.StudyDate != "20200301"
    assert first.StudyTime == "235959.5" and first.AcquisitionDateTime == f"{first.StudyDate}000500.25+0100"
    days = pydicom.valuerep.DA(first.StudyDate) - pydicom.valuerep.DA(first.AcquisitionDate)  # type: ignore[operator]
    assert days.days == 1 and first.PatientBirthDate == ""
    other = moved(b"1.2.3", element(0x00100020, "LO", b"4712"))
    assert other.StudyDate != first.StudyDate
    assert first.LongitudinalTemporalInformationModified == "MODIFIED" and codes(first) == ["113100", "113107"]


def test_the_version_of_a_public_context_group_does_not_tell_the_shift() -> None:
    item = element(0x00080106, "DT", b"20020904") + element(0x0008010F, "CS", b"4031")
    ds = clean(Option.RETAIN_MODIFIED_DATES, elements=ct(element(REGION, "SQ", items(item))))
    assert ds.AnatomicRegionSequence[0].ContextGroupVersion == "19000101000000"


def test_full_dates_stay_unless_someone_moved_them_before() -> None:
    dated = element(0x00080020, "DA", b"20200301")
    ds = clean(Option.RETAIN_FULL_DATES, elements=ct(dated))
    assert (ds.StudyDate, ds.LongitudinalTemporalInformationModified) == ("20200301", "UNMODIFIED")
    assert codes(ds) == ["113100", "113106"]
    ds = clean(Option.RETAIN_FULL_DATES, elements=ct(dated, element(0x00280303, "CS", b"MODIFIED")))
    assert (ds.StudyDate, ds.LongitudinalTemporalInformationModified) == ("20200301", "MODIFIED")
    assert codes(ds) == ["113100", "113107"]


def test_a_date_that_is_none_is_treated_as_without_the_option() -> None:
    ds = clean(Option.RETAIN_FULL_DATES, elements=ct(element(0x00080020, "DA", b"Vogel  ")))
    assert ds.StudyDate == ""


@pytest.mark.parametrize(("age", "kept"), [(b"047Y", "047Y"), (b"089Y", "089Y"), (b"090Y", "090Y"), (b"103Y", "090Y")])
def test_ages_over_89_become_90(age: bytes, kept: str) -> None:
    ds = clean(Option.RETAIN_PATIENT_CHARACTERISTICS, elements=ct(element(0x00101010, "AS", age)))
    assert ds.PatientAge == kept and codes(ds) == ["113100", "113108"]


def test_descriptors_keep_the_words_of_medicine_and_nothing_else() -> None:
    ds = clean(
        Option.CLEAN_DESCRIPTORS,
        elements=ct(
            element(0x00081030, "LO", b"CT Chest for Dr. Brown, Jane Doe 12.05.1960"),
            element(0x0008103E, "LO", b"AXIAL 5.0 Lung Kanarienvogel"),
            element(0x00181030, "LO", b"Kanarienvogel"),
            element(0x00104000, "LT", b"call +49 30 1234567 or jane@example.org"),
        ),
        words=frozenset(("vogelhaus",)),
    )
    assert (ds.StudyDescription, ds.SeriesDescription) == ("CT Chest for", "AXIAL 5.0 Lung")
    assert "ProtocolName" not in ds
    assert "example" not in ds.get("PatientComments", "") and "1234567" not in ds.get("PatientComments", "")


def test_a_profile_may_know_more_words() -> None:
    elements = ct(element(0x00081030, "LO", b"Kanarienvogel Jane"))
    ds = clean(Option.CLEAN_DESCRIPTORS, elements=elements, words=frozenset(("kanarienvogel", "jane")))
    assert ds.StudyDescription == "Kanarienvogel"  # whoever is called so here is not in it


def test_retained_uids_lead_back_to_themselves() -> None:
    done = deidentify(part10(ct()), Policy(KEY, Profile(options=frozenset((Option.RETAIN_UIDS,)))))
    ds = pydicom.dcmread(io.BytesIO(done.data))
    assert (ds.SOPInstanceUID, ds.StudyInstanceUID) == (planted.INSTANCE, planted.STUDY)
    assert {original: pseudonym.uid for original, pseudonym in done.uids.items()}[planted.SERIES] == planted.SERIES


def test_device_and_institution_stay_when_asked_for_and_ae_titles_get_pseudonyms() -> None:
    elements = ct(
        element(0x00080055, "AE", b"CT_AT_HOME"),
        element(0x00080080, "LO", b"Klinik am See"),
        element(0x00081010, "SH", b"CT01"),
        element(0x00181000, "LO", b"SN-99"),
    )
    ds = clean(Option.RETAIN_DEVICE_IDENTITY, Option.RETAIN_INSTITUTION_IDENTITY, elements=elements)
    assert (ds.InstitutionName, ds.StationName, ds.DeviceSerialNumber) == ("Klinik am See", "CT01", "SN-99")
    assert ds[0x00080055].value == KEY.device("CT_AT_HOME") and len(ds[0x00080055].value) == 16


def private(creator: bytes = b"SIEMENS MR HEADER", value: bytes = b"800 ") -> bytes:
    return element(0x00190010, "LO", creator) + element(0x0019100C, "IS", value) + element(0x0019100B, "DS", b"1")


@pytest.mark.parametrize("depth", [0, 1])
def test_safe_private_attributes_stay_with_their_creator_and_no_other(depth: int) -> None:
    content = ct(private()) if depth == 0 else ct(element(REGION, "SQ", items(private())))
    ds = clean(Option.RETAIN_SAFE_PRIVATE, elements=content, safe_private=standard_safe_list())
    here = ds if depth == 0 else ds.AnatomicRegionSequence[0]
    assert here[0x0019100C].value == 800 and here[0x00190010].value == "SIEMENS MR HEADER"
    assert 0x0019100B not in here and codes(ds) == ["113100", "113111"]


@pytest.mark.parametrize("planted_one", [private(creator=b"SOMEBODY ELSE"), private(value=b"Vogel ")])
def test_a_private_attribute_of_another_creator_or_with_another_value_goes(planted_one: bytes) -> None:
    ds = clean(Option.RETAIN_SAFE_PRIVATE, elements=ct(planted_one), safe_private=standard_safe_list())
    assert not any(elem.tag.group == 0x19 and elem.tag.elem > 0xFF for elem in ds)


def test_the_rules_of_a_site_win() -> None:
    rules = {
        0x00180015: Rule(Treatment.CODE, *(rule for rule in (Profile().rules[0x00104000].code, Because.SITE))),
        0x00081030: Rule(Treatment.REPLACE, Profile().rules[0x00081030].code, Because.SITE, b"STUDY"),
    }
    elements = ct(element(0x00180015, "CS", b"CHEST"), element(0x00081030, "LO", b"Vogel"))
    done = deidentify(part10(elements), Policy(KEY, Profile(overrides=rules)))
    ds = pydicom.dcmread(io.BytesIO(done.data))
    assert "BodyPartExamined" not in ds and ds.StudyDescription == "STUDY"
    assert ((0x00180015,), Action.REMOVE, Because.SITE) in {tuple(taken) for taken in done.actions}


def test_the_same_patient_written_differently_has_one_pseudonym() -> None:
    written = (b"AB-4711", b" ab-4711", b"AB-4711  ", b"Ab-4711")
    assert len({clean(elements=ct(element(0x00100020, "LO", value))).PatientID for value in written}) == 1
    wide = element(0x00080005, "CS", b"ISO_IR 192"), element(0x00100020, "LO", "ＡＢ-４７１１".encode())
    assert clean(elements=ct(*wide)).PatientID == clean(elements=ct(element(0x00100020, "LO", b"AB-4711"))).PatientID


def test_without_an_id_name_and_birth_date_tell_the_patient() -> None:
    def patient(name: bytes, study: bytes) -> str:
        elements = ct(
            element(0x00100010, "PN", name),
            element(0x00100020, "LO", b""),
            element(0x00100030, "DA", b"19470815"),
            element(0x0020000D, "UI", study),
        )
        return str(clean(elements=elements).PatientID)

    assert patient(b"Doe^Jane", b"1.2.3") == patient(b"DOE^JANE^^^", b"1.2.4") != patient(b"Roe^Jane", b"1.2.3")


def test_projects_have_pseudonyms_of_their_own() -> None:
    one, other = (clean(elements=ct(), project=name) for name in ("one", "other"))
    assert one.PatientID != other.PatientID and one.StudyInstanceUID != other.StudyInstanceUID
