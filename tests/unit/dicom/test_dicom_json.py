import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from services.dicom import dicom_json
from services.dicom.part10 import InstanceError, parse_instance
from tests.unit.dicom.samples import every_file, file_of, minimal, names, read, shipped


def json_of(ds: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> dict[str, Any]:
    parsed = parse_instance(file_of(ds, transfer_syntax_uid))
    assert json.loads(parsed.metadata) == parsed.attributes
    return parsed.attributes


def raw(tag: int, vr: bytes, value: bytes) -> bytes:
    return tag.to_bytes(4, "big")[1::-1] + tag.to_bytes(4, "big")[:1:-1] + vr + len(value).to_bytes(2, "little") + value


def json_with(element: bytes) -> dict[str, Any]:
    return parse_instance(file_of(minimal()) + element).attributes


@pytest.mark.parametrize("path", every_file(), ids=names)
def test_what_we_write_is_what_pydicom_reads(path: Path) -> None:
    data = path.read_bytes()
    try:
        parsed = parse_instance(data)
    except InstanceError:
        return
    expected = read(data).to_json_dict(suppress_invalid_tags=True)
    json.loads(parsed.metadata)
    _assert_same(parsed.attributes, expected, path=())


def _assert_same(ours: dict[str, Any], theirs: dict[str, Any], path: tuple[object, ...]) -> None:
    for tag in sorted({*ours, *theirs}):
        group = int(tag[:4], 16)
        if tag == "00080005" or tag.endswith("0000"):
            continue  # we say UTF-8, and no group lengths
        if group % 2 and ours[tag]["vr"] == "UN":
            continue  # pydicom looks private UN elements up in its own dictionary
        if tag not in theirs:
            continue  # pydicom was asked to leave out what it cannot convert
        mine, other = ours[tag], theirs[tag]
        assert mine["vr"] == other["vr"], (path, tag)
        if mine["vr"] == "SQ":
            for number, (left, right) in enumerate(zip(mine.get("Value", ()), other.get("Value", ()), strict=True)):
                _assert_same(left, right, (*path, tag, number))
        elif "BulkDataURI" not in mine:
            assert mine.get("InlineBinary") == other.get("InlineBinary"), (path, tag)
            assert _plain(mine.get("Value")) == _plain(other.get("Value")), (path, tag)


def _plain(values: list[Any] | None) -> list[Any]:
    """Values without the padding and the kinds of emptiness in which the two may differ."""
    plain = []
    for value in values or ():
        if isinstance(value, dict):
            value = {group: text.strip() for group, text in value.items() if text.strip()} or None
        elif isinstance(value, str):
            value = value.strip(" \0") or None
        plain.append(value)
    return [] if plain == [None] else plain


def test_text_is_utf8_and_says_so() -> None:
    attributes = parse_instance(shipped("chrRuss.dcm")).attributes

    assert attributes["00080005"]["Value"] == ["ISO_IR 192"]
    assert attributes["00100010"]["Value"] == [{"Alphabetic": "Люкceмбypг"}]


def test_a_person_name_has_its_three_groups() -> None:
    attributes = parse_instance(shipped("chrH31.dcm")).attributes

    name = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    assert attributes["00100010"]["Value"] == [name]
    assert dicom_json.text(attributes, "PatientName") == "Yamada^Tarou=山田^太郎=やまだ^たろう"


@pytest.mark.parametrize("transfer_syntax_uid", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_numbers_are_numbers_in_every_encoding(transfer_syntax_uid: str) -> None:
    ds = minimal(
        Rows=512, InstanceNumber="7", PixelSpacing=["0.5", "0.25"], SliceThickness="2.0", TableTopPitchAngle=1.5
    )
    ds.FrameIncrementPointer = 0x00181063
    ds.PixelRepresentation = 1
    ds.add_new(0x00280106, "SS", -5)

    attributes = json_of(ds, transfer_syntax_uid)

    assert attributes["00280010"] == {"vr": "US", "Value": [512]}
    assert attributes["00200013"] == {"vr": "IS", "Value": [7]}
    assert attributes["00280030"] == {"vr": "DS", "Value": [0.5, 0.25]}
    assert attributes["00180050"] == {"vr": "DS", "Value": [2]}
    assert attributes["00280009"] == {"vr": "AT", "Value": ["00181063"]}
    assert attributes["00280106"] == {"vr": "SS", "Value": [-5]}


@pytest.mark.parametrize(
    ("element", "tag", "values"),
    [
        (raw(0x00200013, b"IS", b"seven "), "00200013", ["seven"]),
        (raw(0x00200013, b"IS", b"1.5 "), "00200013", ["1.5"]),
        (raw(0x00200013, b"IS", b"1.0 "), "00200013", [1]),
        (raw(0x00280030, b"DS", b"1,5\\2 "), "00280030", ["1,5", 2]),
        (raw(0x00280030, b"DS", b"nan\\1_0\\inf"), "00280030", ["nan", "1_0", "inf"]),
        (raw(0x00280030, b"DS", b"\\\\3 "), "00280030", [None, None, 3]),
        (raw(0x00181310, b"US", b"\x01\x00\x02\x00\x03"), "00181310", [1, 2]),
        (raw(0x00189305, b"FD", b"\x00\x00\x00\x00\x00\x00\xf8\x7f"), "00189305", ["NaN"]),
        (raw(0x00189305, b"FD", b"\x00\x00\x00\x00\x00\x00\xf0\xff"), "00189305", ["-inf"]),
    ],
)
def test_an_invalid_number_stays_a_string_and_the_json_stays_valid(element: bytes, tag: str, values: list[Any]) -> None:
    attributes = json_with(element)
    assert attributes[tag]["Value"] == values
    assert json.loads(dicom_json.dumps(attributes)) == attributes


def test_an_empty_element_has_no_value() -> None:
    assert json_with(raw(0x00080050, b"SH", b""))["00080050"] == {"vr": "SH"}
    assert json_with(raw(0x00080050, b"SH", b"  "))["00080050"] == {"vr": "SH"}
    assert json_with(raw(0x00100010, b"PN", b"=="))["00100010"] == {"vr": "PN"}


def test_backslash_parts_values_but_not_long_text() -> None:
    assert json_with(raw(0x00080008, b"CS", b"ORIGINAL\\PRIMARY "))["00080008"]["Value"] == ["ORIGINAL", "PRIMARY"]
    assert json_with(raw(0x00104000, b"LT", b" a\\b "))["00104000"]["Value"] == [" a\\b"]


def test_pixel_data_is_always_a_uri_and_short_binary_is_inline() -> None:
    ds = minimal(Rows=1, Columns=2, BitsAllocated=8, SamplesPerPixel=1)
    ds.add_new(0x7FE00010, "OB", b"\x01\x02")
    ds.add_new(0x00420011, "OB", b"ab")

    attributes = json_of(ds)

    assert attributes["7FE00010"] == {"vr": "OB", "BulkDataURI": "instances/1.2.3.4/bulkdata/7FE00010"}
    assert attributes["00420011"] == {"vr": "OB", "InlineBinary": base64.b64encode(b"ab").decode()}


def test_long_binary_in_an_item_is_a_uri_whose_range_is_known() -> None:
    content = bytes(range(256)) * 8
    inner, icon = Dataset(), Dataset()
    inner.add_new(0x00282000, "OB", content)
    icon.OpticalPathSequence = [Dataset(), inner]
    data = file_of(minimal(IconImageSequence=[icon]))

    parsed = parse_instance(data)

    path = "00880200-0-00480105-1-00282000"
    item = parsed.attributes["00880200"]["Value"][0]["00480105"]["Value"][1]
    assert item["00282000"]["BulkDataURI"] == f"instances/1.2.3.4/bulkdata/{path}"
    place = parsed.layout.bulk[path]
    assert data[place.offset : place.offset + place.length] == content


def test_big_endian_words_come_out_little_endian() -> None:
    ds = minimal()
    ds.add_new(0x00281201, "OW", b"\x12\x34")
    assert json_of(ds, ExplicitVRBigEndian)["00281201"]["InlineBinary"] == base64.b64encode(b"\x34\x12").decode()


def test_private_elements_and_their_creators_are_kept() -> None:
    ds = minimal()
    ds.private_block(0x0009, "PLEXUS TEST", create=True).add_new(0x01, "LO", "mine")

    attributes = json_of(ds, ImplicitVRLittleEndian)

    assert attributes["00090010"] == {"vr": "LO", "Value": ["PLEXUS TEST"]}
    assert attributes["00091001"]["vr"] == "UN"


def test_attributes_are_found_by_keyword_or_tag() -> None:
    attributes = json_of(minimal(ImageType=["ORIGINAL", "PRIMARY"]))

    assert dicom_json.texts(attributes, "ImageType") == ("ORIGINAL", "PRIMARY")
    assert dicom_json.text(attributes, "0020000D") == "1.2.3"
    assert dicom_json.text(attributes, "AccessionNumber") == ""
    assert dicom_json.text(attributes, "NoSuchThing") == ""
    assert list(dicom_json.select(attributes, ["0020000D", "00080018", "00280010"])) == ["00080018", "0020000D"]
