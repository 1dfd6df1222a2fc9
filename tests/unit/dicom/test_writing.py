"""DICOM JSON to a file: read again it says the same, and what is no DICOM JSON is refused."""

import json
import math
from base64 import b64encode
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage

from services.dicom.part10 import InstanceError, Reason, file_header, parse_instance
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN
from services.dicom.writing import Bulk, bulk_uris, encode

Json = dict[str, Any]
IDENTITY: Json = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080016": {"vr": "UI", "Value": [CTImageStorage]},
    "00080018": {"vr": "UI", "Value": ["1.2.3"]},
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
    "0020000E": {"vr": "UI", "Value": ["1.2.1"]},
}


def file_of(
    attributes: Json, bulk: dict[str, list[bytes]] | None = None, syntax: str = EXPLICIT_LITTLE_ENDIAN
) -> bytes:
    bulk = bulk or {}
    pieces = encode(
        attributes, lambda uri: [len(part) for part in bulk.get(uri, [])], encapsulated=syntax != EXPLICIT_LITTLE_ENDIAN
    )
    content = b"".join(bulk[piece.uri][piece.part] if isinstance(piece, Bulk) else piece for piece in pieces)
    return file_header(transfer_syntax_uid=syntax, sop_class_uid=CTImageStorage, sop_instance_uid="1.2.3") + content


def read(attributes: Json) -> Json:
    return json.loads(parse_instance(file_of(IDENTITY | attributes)).metadata)


_WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=12
)
_PLAIN = _WORDS.filter(lambda text: not set(text) & set("\\^="))
_NAMES = st.fixed_dictionaries({}, optional=dict.fromkeys(("Alphabetic", "Ideographic", "Phonetic"), _PLAIN)).filter(
    bool
)


def _some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=4)


def _integers(bits: int, *, signed: bool) -> st.SearchStrategy[list[int]]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return _some(st.integers(max(low, -(2**53)), min(high, 2**53)))


_VALUES: dict[str, st.SearchStrategy[list[Any]]] = {
    "LO": _some(_PLAIN | st.none()).filter(lambda values: values != [None]),
    "CS": _some(st.from_regex(r"[A-Z0-9_]{1,16}", fullmatch=True)),
    "DS": _some(st.integers(-(10**12), 10**12) | st.sampled_from([0.5, -1.25, 1e-5, 3.1415926])),
    "IS": _some(st.integers(-(2**31), 2**31 - 1)),
    "PN": _some(_NAMES),
    "UT": st.lists(_WORDS, min_size=1, max_size=1),
    "DA": _some(st.dates().map(lambda day: f"{day:%Y%m%d}".rjust(8, "0"))),
    "US": _integers(16, signed=False),
    "SS": _integers(16, signed=True),
    "UL": _integers(32, signed=False),
    "SL": _integers(32, signed=True),
    "SV": _integers(64, signed=True),
    "UV": _integers(64, signed=False),
    "FL": _some(st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "FD": _some(st.floats(allow_nan=False, allow_infinity=False)),
    "AT": _some(st.from_regex(r"[0-9A-F]{8}", fullmatch=True)),
}


@st.composite
def elements(draw: st.DrawFn) -> Json:
    vr = draw(st.sampled_from(sorted(_VALUES)))
    if draw(st.integers(0, 9)) == 0:
        return {"vr": vr}
    return {"vr": vr, "Value": draw(_VALUES[vr])}


_BINARY = st.binary(min_size=2, max_size=40).map(lambda data: data[: len(data) // 2 * 2])
_LEAVES = elements() | st.builds(lambda data: {"vr": "OB", "InlineBinary": b64encode(data).decode()}, _BINARY)
# Private elements: none of them means anything to the reader. (0009,0010) says whose they are.
_TAGS = st.integers(0x1000, 0x10FF).map(lambda number: f"0009{number:04X}")


def _data_sets(leaves: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.dictionaries(_TAGS, leaves, max_size=5)


_DATA_SETS = _data_sets(
    st.recursive(
        _LEAVES,
        lambda inner: st.lists(_data_sets(inner), max_size=3).map(
            lambda items: {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        ),
        max_leaves=8,
    )
)


@settings(deadline=None)
@given(_DATA_SETS)
def test_a_data_set_that_is_written_and_read_is_the_same(attributes: Json) -> None:
    attributes = {"00090010": {"vr": "LO", "Value": ["PLEXUS TEST"]}} | attributes
    assert read(attributes) == dict(sorted((IDENTITY | attributes).items()))


def test_what_pydicom_reads_is_what_was_said() -> None:
    ds = pydicom.dcmread(
        pydicom.filebase.DicomBytesIO(
            file_of(
                IDENTITY
                | {
                    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Гусева^Анна"}]},
                    "00180050": {"vr": "DS", "Value": [1.1, 2]},
                    "00209221": {"vr": "SQ", "Value": [{"00209164": {"vr": "UI", "Value": ["1.2.3.4"]}}, {}]},
                }
            )
        )
    )
    assert str(ds.PatientName) == "Гусева^Анна"
    assert list(ds.SliceThickness) == [1.1, 2]
    assert [item.get("DimensionOrganizationUID") for item in ds.DimensionOrganizationSequence] == ["1.2.3.4", None]


@pytest.mark.parametrize(
    ("value", "written"),
    [(1, "1"), (0.1, "0.1"), (math.pi, "3.14159265358979"), (-1e-300 / 3, "-3.33333333e-301"), (1e22, "1e+22")],
)
def test_a_decimal_has_sixteen_characters_at_most(value: float, written: str) -> None:
    file = file_of(IDENTITY | {"00180050": {"vr": "DS", "Value": [value]}})
    assert written.encode() in file
    assert len(written) <= 16


def test_a_text_that_is_too_long_for_its_vr_is_not_cut() -> None:
    text = "x" * 70_001
    assert read({"00081030": {"vr": "LO", "Value": [text]}})["00081030"] == {"vr": "LO", "Value": [text]}


def test_numbers_that_json_does_not_have_are_read_as_they_are_written() -> None:
    element = {"vr": "FD", "Value": ["NaN", "inf", "-inf", 1.5]}
    assert read({"00189087": element})["00189087"] == element


def test_what_belongs_to_a_file_is_passed_over() -> None:
    meta = {"00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.50"]}, "00080000": {"vr": "UL", "Value": [7]}}
    assert file_of(IDENTITY | meta) == file_of(IDENTITY)


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientID": {"vr": "LO", "Value": ["x"]}},
        {"00100020": "x"},
        {"00100020": {"Value": ["x"]}},
        {"00100020": {"vr": "XX", "Value": ["x"]}},
        {"00100020": {"vr": "LO", "Value": "x"}},
        {"00100020": {"vr": "LO", "Value": [["x"]]}},
        {"00100020": {"vr": "LO", "Value": ["x\\y"]}},
        {"00100020": {"vr": "LO", "Value": ["\ud800"]}},
        {"00104000": {"vr": "LT", "Value": ["x", "y"]}},
        {"00080060": {"vr": "CS", "Value": ["Ж"]}},
        {"00280010": {"vr": "US", "Value": [70_000]}},
        {"00280010": {"vr": "US", "Value": [None]}},
        {"00280010": {"vr": "US", "Value": [1.5]}},
        {"00280010": {"vr": "US", "Value": [True]}},
        {"00200013": {"vr": "IS", "Value": [1.5]}},
        {"00280009": {"vr": "AT", "Value": ["0018"]}},
        {"7FE00010": {"vr": "OW", "InlineBinary": "?"}},
        {"7FE00010": {"vr": "OW", "Value": [1]}},
        {"FFFEE000": {"vr": "OB"}},
    ],
)
def test_what_is_no_dicom_json_is_refused(attributes: Json) -> None:
    with pytest.raises(InstanceError) as caught:
        file_of(IDENTITY | attributes)
    assert caught.value.reason is Reason.MALFORMED


def test_items_in_items_without_end_are_refused() -> None:
    inner: Json = {}
    for _ in range(100):
        inner = {"00081140": {"vr": "SQ", "Value": [inner]}}
    with pytest.raises(InstanceError) as caught:
        file_of(IDENTITY | inner)
    assert caught.value.reason is Reason.TOO_LARGE


def test_bulk_data_goes_where_its_uri_is() -> None:
    attributes = IDENTITY | {
        "00420011": {"vr": "OB", "BulkDataURI": "document"},
        "00880200": {"vr": "SQ", "Value": [{"7FE00010": {"vr": "OW", "BulkDataURI": "icon"}}]},
    }
    assert set(bulk_uris(attributes)) == {"document", "icon"}

    file = file_of(attributes, {"document": [b"%PDF", b"odd"], "icon": [b"icon"]})

    ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(file))
    assert ds.EncapsulatedDocument == b"%PDFodd\0"
    assert ds.IconImageSequence[0].PixelData == b"icon"


def test_bulk_data_that_is_not_there_is_refused() -> None:
    with pytest.raises(InstanceError) as caught:
        file_of(IDENTITY | {"7FE00010": {"vr": "OW", "BulkDataURI": "pixels"}})
    assert caught.value.reason is Reason.BULK_DATA_MISSING


def test_each_part_of_compressed_pixels_is_a_frame() -> None:
    frames = [b"first", b"second", b"third!"]
    attributes = IDENTITY | {
        "00280008": {"vr": "IS", "Value": [3]},
        "7FE00001": {"vr": "OV", "InlineBinary": "AAAA"},
        "7FE00010": {"vr": "OB", "BulkDataURI": "pixels"},
    }
    file = file_of(attributes, {"pixels": frames}, "1.2.840.10008.1.2.4.50")

    index = parse_instance(file).layout.frames
    assert index is not None
    spans = [index.span(number) for number in (1, 2, 3)]
    stored = [span.take(file[span.offset : span.offset + span.length]) for span in spans]
    assert stored == [b"first\0", b"second", b"third!"]
