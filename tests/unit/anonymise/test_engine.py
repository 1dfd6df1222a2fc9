"""De-identification of one instance, with identifying values planted wherever one can stand."""

import io
import struct
import zlib

import pydicom
import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from services.anonymise.engine.attributes import attribute_of
from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.engine.table import standard_table
from services.anonymise.errors import Reason, RefusedError
from services.anonymise.model import Action, Because, UidKind
from tests.unit.anonymise import planted
from tests.unit.anonymise.planted import ct, element, fragments, items, open_sequence, part10

POLICY = Policy(Pseudonyms(b"k" * 32))
CANARY = "Kanarien^Vogel"
TEXTS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
ANATOMIC_REGION, REGION_MODIFIER, DERIVATION_CODES = 0x00082218, 0x00082220, 0x00089215  # kept sequences


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def clean(*elements: bytes, **more: str | bytes) -> Dataset:
    return read(deidentify(part10(elements, **more), POLICY).data)  # type: ignore[arg-type]


def assert_free_of(data: bytes, *texts: str) -> None:
    for text in texts:
        for coding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "iso2022_jp", "gb18030"):
            for form in (text, text.upper(), text.lower()):
                assert form.encode(coding, "ignore") not in data


def planted_texts() -> dict[int, str]:
    """A distinct canary for every attribute of the table that can hold a text."""
    texts = {}
    for tag in standard_table().rows:
        attribute = attribute_of(tag)
        if attribute is not None and attribute.vr in TEXTS and tag >> 16 not in (0, 2, 4):
            texts[tag] = f"Vogel{tag:08x}"
    # These say what the file is and have to be true.
    for tag in (0x00080016, 0x00080018, 0x0020000D, 0x0020000E):
        texts.pop(tag, None)
    return texts


def listed_elements(texts: dict[int, str]) -> bytes:
    written = []
    for tag in sorted(texts):
        attribute = attribute_of(tag)
        assert attribute is not None
        written.append(element(tag, attribute.vr, texts[tag].encode()))
    return b"".join(written)


def split(content: bytes) -> list[bytes]:
    """Elements of short texts, one by one."""
    parts, position = [], 0
    while position < len(content):
        long = content[position + 4 : position + 6].decode() in planted.LONG
        size = struct.unpack_from("<L" if long else "<H", content, position + (8 if long else 6))[0]
        end = position + (12 if long else 8) + size
        parts.append(content[position:end])
        position = end
    return parts


def test_no_value_of_a_listed_attribute_survives_at_the_root() -> None:
    texts = planted_texts()
    assert len(texts) > 400
    done = deidentify(part10(ct(*split(listed_elements(texts)))), POLICY)
    assert_free_of(done.data, "Vogel")
    read(done.data)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_no_value_of_a_listed_attribute_survives_in_nested_items(depth: int) -> None:
    content = listed_elements(planted_texts())
    for _ in range(depth - 1):
        content = element(REGION_MODIFIER, "SQ", items(content, content))
    done = deidentify(part10(ct(element(ANATOMIC_REGION, "SQ", items(content)))), POLICY)
    assert_free_of(done.data, "Vogel")
    assert len(read(done.data).AnatomicRegionSequence) == 1


def test_no_value_survives_in_items_of_undefined_length() -> None:
    content = listed_elements(planted_texts())
    inner = open_sequence(REGION_MODIFIER, content, content)
    done = deidentify(part10(ct(open_sequence(ANATOMIC_REGION, inner))), POLICY)
    assert_free_of(done.data, "Vogel")
    assert len(read(done.data).AnatomicRegionSequence[0].AnatomicRegionModifierSequence) == 2


def test_no_value_survives_in_implicit_vr() -> None:
    texts = planted_texts()
    content = b"".join(element(tag, "LO", texts[tag].encode(), explicit=False) for tag in sorted(texts))
    sequence = element(ANATOMIC_REGION, "SQ", items(content), explicit=False)
    done = deidentify(part10(ct(sequence, explicit=False), syntax=planted.IMPLICIT), POLICY)
    assert_free_of(done.data, "Vogel")
    ds = read(done.data)
    assert ds.file_meta.TransferSyntaxUID == planted.EXPLICIT
    assert ds.PixelData == planted.PIXELS and ds.Rows == planted.ROWS


def test_private_attributes_are_removed_at_every_depth() -> None:
    private = (
        element(0x00090010, "LO", b"VOGEL CREATOR")
        + element(0x00091001, "LO", CANARY.encode())
        + element(0x00091002, "SQ", items(element(0x00100010, "PN", CANARY.encode())))
        + open_sequence(0x00091003, element(0x00091001, "LO", CANARY.encode()))
        + open_sequence(0x00091004, b"", vr="UN")
    )
    ds = clean(*ct(private, element(ANATOMIC_REGION, "SQ", items(private))))
    assert_free_of(deidentify(part10(ct(private)), POLICY).data, "Kanarien", "Vogel")
    assert not any(e.tag.is_private for e in ds.iterall())


def test_unknown_and_retired_attributes_are_removed() -> None:
    ds = clean(
        *ct(
            element(0x00089998, "LO", CANARY.encode()),
            element(0x00200030, "DS", b"1\\2\\3"),  # Image Position (retired)
        )
    )
    assert 0x00089998 not in ds and 0x00200030 not in ds


def test_curves_overlays_group_lengths_and_file_set_groups_are_removed() -> None:
    ds = clean(
        *ct(
            element(0x00041141, "CS", b"VOGEL"),
            element(0x00080000, "UL", struct.pack("<L", 4711)),
            element(0x50003000, "OW", CANARY.encode()),
            element(0x50002500, "LO", CANARY.encode()),
            element(0x60003000, "OW", CANARY.encode()),
            element(0x60004000, "LT", CANARY.encode()),
            element(0x60220022, "LO", CANARY.encode()),
        )
    )
    assert {tag >> 16 for tag in ds.keys()} <= {0x08, 0x10, 0x12, 0x18, 0x20, 0x28, 0x7FE0}  # noqa: SIM118
    assert 0x00080000 not in ds


def test_preamble_and_file_meta_information_are_made_anew() -> None:
    meta = (
        element(0x00020012, "UI", b"1.2.3.4711")
        + element(0x00020013, "SH", b"VOGEL 1.0")
        + element(0x00020016, "AE", b"KANARIEN")
        + element(0x00020100, "UI", b"1.2.3.4712")
        + element(0x00020102, "OB", CANARY.encode())
    )
    done = deidentify(part10(ct(), preamble=CANARY.encode(), meta=meta), POLICY)
    assert_free_of(done.data, "Kanarien", "Vogel", "1.2.3.4711", "1.2.3.4712", planted.INSTANCE)
    ds = read(done.data)
    assert done.data[:128] == bytes(128)
    assert {keyword_for_tag(e.tag) for e in ds.file_meta} == {
        "FileMetaInformationGroupLength",
        "FileMetaInformationVersion",
        "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID",
        "TransferSyntaxUID",
        "ImplementationClassUID",
        "ImplementationVersionName",
    }
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID == done.sop_instance_uid


def test_a_sequence_under_vr_un_is_walked() -> None:
    content = element(0x00100010, "PN", CANARY.encode(), explicit=False) + element(
        0x00080104, "LO", b"Lung", explicit=False
    )
    ds = clean(*ct(element(ANATOMIC_REGION, "UN", items(content))))
    assert ds.AnatomicRegionSequence[0].CodeMeaning == "Lung"
    assert ds.AnatomicRegionSequence[0].PatientName == ""


def test_a_sequence_under_vr_un_of_undefined_length_is_walked() -> None:
    content = element(0x00100010, "PN", CANARY.encode(), explicit=False)
    ds = clean(*ct(open_sequence(ANATOMIC_REGION, content, vr="UN")))
    assert ds.AnatomicRegionSequence[0].PatientName == ""


@pytest.mark.parametrize("vr", ["SQ", "UN", "OB", "LO"])
def test_a_sequence_that_cannot_be_parsed_is_removed(vr: str) -> None:
    ds = clean(*ct(element(ANATOMIC_REGION, vr, CANARY.encode())))
    assert "AnatomicRegionSequence" not in ds


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", "ISO_IR 144", "ISO 2022 IR 87", "GB18030"])
def test_names_in_other_character_sets_are_removed(charset: str) -> None:
    name = {"ISO_IR 144": "Люкceмбypг", "ISO 2022 IR 87": "山田太郎", "GB18030": "王小东"}.get(charset, "Bücherwürmin")
    coding = {
        "ISO_IR 100": "latin-1",
        "ISO_IR 192": "utf-8",
        "ISO_IR 144": "iso8859-5",
        "ISO 2022 IR 87": "iso2022_jp",
        "GB18030": "gb18030",
    }[charset]
    raw = name.encode(coding, "ignore")
    done = deidentify(
        part10(
            ct(
                element(0x00080005, "CS", charset.encode()),
                element(0x00080070, "LO", b"Works of " + raw),
                element(0x00100010, "PN", raw),
                element(ANATOMIC_REGION, "SQ", items(element(0x00100010, "PN", raw))),
            )
        ),
        POLICY,
    )
    assert raw not in done.data
    assert read(done.data).SpecificCharacterSet == charset


def test_a_name_in_the_character_set_is_removed() -> None:
    assert "SpecificCharacterSet" not in clean(*ct(element(0x00080005, "CS", b"KANARIEN")))


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00180050, "DS", b"Kanarien"),  # Slice Thickness
        (0x00180050, "DS", b"1.5\\Kanarien"),
        (0x00180050, "DS", b"1.5\\2.5"),  # one value is allowed
        (0x00180050, "LO", b"Kanarien"),
        (0x00180050, "UN", b"Kanarien"),
        (0x00180050, "FD", struct.pack("<d", 1.5)),
        (0x00200013, "IS", b"Kanarien"),
        (0x00180015, "CS", b"Kanarien^Vogel"),  # Body Part Examined
        (0x00280106, "SS", b"Kanarien"),  # Smallest Image Pixel Value
        (0x00280106, "LT", b"Kanarien"),
        (0x00282000, "OB", b"Kanarien"),  # ICC Profile: may hold any text
        (0x0008010E, "UR", b"https://kanarien"),
        (0x00180061, "DS", b"Kanarien"),
        (0x00080070, "PN", b"Kanarien"),  # Manufacturer, said to be a person
    ],
)
def test_a_value_that_is_not_what_its_attribute_promises_is_removed(tag: int, vr: str, value: bytes) -> None:
    done = deidentify(part10(ct(element(tag, vr, value))), POLICY)
    assert_free_of(done.data, "kanarien")
    assert tag not in read(done.data)


def test_a_value_under_another_vr_is_written_under_its_own() -> None:
    ds = clean(*ct(element(0x00180050, "LO", b"1.5"), element(0x00180060, "UN", b"120")))
    assert (ds["SliceThickness"].VR, ds.SliceThickness, ds["KVP"].VR, ds.KVP) == ("DS", 1.5, "DS", 120)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00080070, "LO", b"Dr. Doe, private practice"),  # a part of the name
        (0x00080070, "LO", b"Works of MRN-4711-0815"),  # the Patient ID
        (0x00080070, "LO", b"19470815"),  # the date of birth
        (0x00180015, "CS", b"MUSTERMANN"),
        (0x00180060, "DS", b"19470815"),
        (0x00080070, "LO", b"Klinik am See, Bau 7"),  # the institution
        (0x00080070, "LO", b"seen on 1.3.6.1.4.1.9.1"),  # the Study Instance UID
    ],
)
def test_an_identifier_inside_of_a_kept_value_takes_the_value_out(tag: int, vr: str, value: bytes) -> None:
    data = part10(
        ct(
            element(0x00080080, "LO", b"Klinik am See"),
            element(0x00100010, "PN", b"Mustermann^Erika^^Dr. Doe"),
            element(0x00100030, "DA", b"19470815"),
            element(tag, vr, value),
        )
    )
    if value.startswith(b"Dr. Doe"):
        data = data.replace(b"Dr. Doe, private", b"Erika Musterman ").replace(b"Musterman ", b"Mustermann")
    done = deidentify(data, POLICY)
    assert read(done.data)[tag].value in ("ANONYMOUS", 0)
    assert any(line.because is Because.IDENTIFIER for line in done.actions)


def test_a_common_word_that_stands_in_a_removed_description_too_may_stay() -> None:
    ds = clean(
        *ct(
            element(0x00081030, "LO", b"CHEST"),  # Study Description
            element(0x0008103E, "LO", b"LUNG"),
            element(0x00180015, "CS", b"CHEST"),
            element(0x00181210, "SH", b"LUNG"),
        )
    )
    assert ds.BodyPartExamined == "CHEST" and ds.ConvolutionKernel == "LUNG"
    assert "StudyDescription" not in ds and "SeriesDescription" not in ds


def test_what_a_volume_needs_is_kept_as_it_is() -> None:
    before = read(part10(ct()))
    after = clean(*ct())
    for keyword in (
        "ImageType",
        "SOPClassUID",
        "Modality",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "Rows",
        "Columns",
        "PixelSpacing",
        "BitsAllocated",
        "PixelRepresentation",
        "RescaleSlope",
        "PixelData",
    ):
        assert after[keyword].value == before[keyword].value, keyword


def test_encapsulated_pixels_stay_byte_for_byte() -> None:
    parts = (b"\xff\xd8\xff\xf7 one \xfe\xff\xdd\xe0\0\0\0\0 two ", bytes(range(256)) * 300)
    data = part10(ct(pixels=fragments(*parts)), syntax=planted.JPEG_LS)
    done = deidentify(data, POLICY)
    assert fragments(*parts) in done.data
    assert read(done.data).file_meta.TransferSyntaxUID == planted.JPEG_LS


def test_a_deflated_file_becomes_explicit_vr_little_endian() -> None:
    compressor = zlib.compressobj(wbits=-15)
    body = compressor.compress(b"".join(ct())) + compressor.flush()
    ds = clean(body + bytes(len(body) % 2), syntax=planted.DEFLATED)
    assert ds.file_meta.TransferSyntaxUID == planted.EXPLICIT and ds.PixelData == planted.PIXELS


def test_a_big_endian_file_stays_one() -> None:
    ds = clean(*ct(order=">"), syntax=planted.BIG_ENDIAN)
    assert (ds.Rows, ds.PixelData, ds.PatientIdentityRemoved) == (planted.ROWS, planted.PIXELS, "YES")


def test_the_instance_says_that_and_how_it_is_deidentified() -> None:
    ds = clean(*ct())
    assert ds.PatientIdentityRemoved == "YES"
    assert ds.LongitudinalTemporalInformationModified == "REMOVED"
    assert ds.DeidentificationMethod == ["Plexus", "DICOM PS3.15 2026c Table E.1-1, Basic Profile"]
    assert [(c.CodeValue, c.CodingSchemeDesignator) for c in ds.DeidentificationMethodCodeSequence] == [
        ("113100", "DCM")
    ]


def test_what_was_cleaned_earlier_is_still_said_and_nothing_else() -> None:
    def code(value: bytes) -> bytes:
        return element(0x00080100, "SH", value) + element(0x00080104, "LO", CANARY.encode())

    ds = clean(
        *ct(
            element(0x00120063, "LO", CANARY.encode()),
            element(0x00120064, "SQ", items(code(b"113100"), code(b"113105"), code(b"113109"), code(b"VOGEL"))),
        )
    )
    assert [c.CodeValue for c in ds.DeidentificationMethodCodeSequence] == ["113100", "113105"]
    assert "Kanarien" not in str(ds)


def test_uids_are_consistent_over_files_and_well_known_ones_stay() -> None:
    reference = element(0x00081155, "UI", planted.INSTANCE.encode()) + element(0x00081150, "UI", planted.CT.encode())
    first = deidentify(part10(ct()), POLICY)
    second = clean(
        *ct(
            element(0x00080018, "UI", b"1.2.3.4.5"),
            element(DERIVATION_CODES, "SQ", items(reference)),
            element(0x0008010C, "UI", b"2.16.840.1.113883.6.96"),
        )
    )
    item = second.DerivationCodeSequence[0]
    assert item.ReferencedSOPInstanceUID == first.sop_instance_uid != second.SOPInstanceUID
    assert item.ReferencedSOPClassUID == second.SOPClassUID == planted.CT
    assert second.StudyInstanceUID == read(first.data).StudyInstanceUID
    assert second.CodingSchemeUID.startswith("2.25.")


def test_the_way_back_names_every_uid_that_was_replaced() -> None:
    done = deidentify(part10(ct(element(0x00080014, "UI", b"1.2.3.4711"))), POLICY)
    assert {original: pseudonym.kind for original, pseudonym in done.uids.items()} == {
        planted.STUDY: UidKind.STUDY,
        planted.SERIES: UidKind.SERIES,
        planted.INSTANCE: UidKind.INSTANCE,
        planted.FRAME: UidKind.FRAME_OF_REFERENCE,
        "1.2.3.4711": UidKind.OTHER,
    }
    assert done.uids[planted.INSTANCE].uid == done.sop_instance_uid


def test_one_patient_has_one_pseudonym_and_two_have_two() -> None:
    first, again, other = (
        clean(*ct(element(0x00100020, "LO", value))).PatientID for value in (b"4711", b" 4711 ", b"4712")
    )
    assert first == again != other


def test_patients_without_an_id_do_not_become_one() -> None:
    first, second = (
        clean(*ct(element(0x00100020, "LO", b""), element(0x0020000D, "UI", study))).PatientID
        for study in (b"1.2.3.1", b"1.2.3.2")
    )
    assert first != second and first.startswith("PLX-")


def test_a_dummy_is_valid_for_its_vr() -> None:
    ds = clean(*ct(element(0x00120010, "LO", b"Vogel"), element(0x0040A121, "DA", b"20200101")))
    assert ds.ClinicalTrialSponsorName == "ANONYMOUS" and ds.Date == "19000101"


def test_a_sequence_that_must_have_an_item_gets_one_that_says_nothing() -> None:
    code = element(0x00080100, "SH", b"VOGEL") + element(0x00080104, "LO", CANARY.encode())
    ds = clean(*ct(element(0x00401101, "SQ", items(code)), element(0x00700001, "SQ", items(code))))
    assert ds.PersonIdentificationCodeSequence[0].CodeValue == "ANONYMOUS"
    assert [item.GraphicType for item in ds.GraphicAnnotationSequence[0].GraphicObjectSequence] == ["POINT"]


@pytest.mark.parametrize("depth", [0, 2])
def test_no_value_survives_in_the_items_of_a_listed_sequence(depth: int) -> None:
    content = element(0x00080104, "LO", CANARY.encode()) + element(0x0040A160, "UT", CANARY.encode())
    sequences = {}
    for tag in standard_table().rows:
        attribute = attribute_of(tag)
        if attribute is not None and attribute.vr == "SQ":
            sequences[tag] = element(tag, "SQ", items(content))
    assert len(sequences) > 50
    inside = list(sequences.values())
    for _ in range(depth):
        inside = [element(REGION_MODIFIER, "SQ", items(b"".join(inside)))]
    kept = {0x00081140, 0x00082112}  # Referenced and Source Image Sequence: of type 3 in a CT image, they go, too
    done = deidentify(part10(ct(*inside)), POLICY)
    assert_free_of(done.data, "Kanarien", "Vogel")
    assert not any(tag in read(done.data) for tag in kept)


def test_the_report_tells_what_was_done_to_every_element_and_by_which_rule() -> None:
    done = deidentify(
        part10(
            ct(
                element(0x00090010, "LO", b"VOGEL"),
                element(ANATOMIC_REGION, "SQ", items(element(0x00100010, "PN", CANARY.encode()))),
            )
        ),
        POLICY,
    )
    lines = {line.path: (line.action, line.because) for line in done.actions}
    assert lines[(0x00090010,)] == (Action.REMOVE, Because.PRIVATE)
    assert lines[(0x00100010,)] == (Action.EMPTY, Because.PROFILE)
    assert lines[(0x00100020,)] == (Action.DUMMY, Because.PROFILE)
    assert lines[(0x00080018,)] == (Action.UID, Because.PROFILE)
    assert lines[(0x00280010,)] == (Action.KEEP, Because.UNLISTED)
    assert lines[(ANATOMIC_REGION, 0x00100010)] == (Action.EMPTY, Because.PROFILE)
    assert "Kanarien" not in repr(done.actions)


def test_an_identifier_that_cannot_be_taken_out_keeps_the_instance_in(monkeypatch: pytest.MonkeyPatch) -> None:
    # The check has to be able to fail: let the walk write a device's serial number, as a mistake of ours would.
    monkeypatch.setattr("services.anonymise.engine.walk.Walk._write", _that_forgets)
    with pytest.raises(RefusedError) as refused:
        deidentify(part10(ct(element(0x00080050, "SH", b"ACC-4711-0815"))), POLICY)
    assert refused.value.code == Reason.PHI_LEFT
    assert "4711" not in str(refused.value)


def _that_forgets(walk: object, tag: int, vr: str, value: bytes) -> bytes:
    return element(tag, vr, b"ACC-4711-0815" if tag == 0x00080050 else value)


def test_nesting_without_end_is_refused() -> None:
    content = b""
    for _ in range(200):
        content = element(REGION_MODIFIER, "SQ", items(content))
    with pytest.raises(RefusedError) as refused:
        deidentify(part10(ct(element(ANATOMIC_REGION, "SQ", items(content)))), POLICY)
    assert refused.value.code == Reason.TOO_LARGE
