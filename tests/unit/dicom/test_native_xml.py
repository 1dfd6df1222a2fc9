"""The Native DICOM Model, both ways (PS3.19 A.1)."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dicom.native_xml import NativeXmlError, native_dicom_model, parse_native
from services.dicom.part10 import parse_instance
from tests.unit.dicom.samples import shipped

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff^=\\"), min_size=1)
NAME = st.dictionaries(st.sampled_from(("Alphabetic", "Ideographic", "Phonetic")), TEXT, min_size=1)


def element(vr: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    # A value that is missing at the end is not told by any number.
    listed = st.lists(st.none() | values, max_size=3).map(lambda each: each if each and each[-1] is not None else [])
    return listed.map(lambda each: {"vr": vr, "Value": each} if each else {"vr": vr})


def dataset(items: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    sequence = st.lists(items, min_size=1, max_size=2).map(lambda each: {"vr": "SQ", "Value": each})
    elements = {
        "00080060": element("CS", st.text("ABC_", min_size=1)),
        "00081030": element("LO", TEXT),
        "00100010": element("PN", NAME),
        "00101030": element("DS", st.integers(-99, 99) | st.floats(-1e9, 1e9)),
        "00200013": element("IS", st.integers(-(2**31), 2**31 - 1)),
        "00091001": element("UN", TEXT) | st.binary(min_size=1).map(inline),
        "00090010": element("LO", TEXT),
        "7FE00010": st.just({"vr": "OW", "BulkDataURI": "instances/1.2/bulkdata/7FE00010?a=1&b='2'"}),
        "00400275": sequence,
    }
    return st.fixed_dictionaries({}, optional=elements).map(lambda found: dict(sorted(found.items())))


def inline(content: bytes) -> dict[str, Any]:
    return {"vr": "UN", "InlineBinary": base64.b64encode(content).decode()}


@settings(max_examples=60)
@given(st.recursive(dataset(st.just({})), dataset, max_leaves=4))
def test_what_is_written_reads_the_same(attributes: dict[str, Any]) -> None:
    assert parse_native(native_dicom_model(attributes)) == attributes


def test_it_is_written_as_the_standard_has_it() -> None:
    attributes = parse_instance(shipped("chrH31.dcm")).attributes
    private = {"00090010": {"vr": "LO", "Value": ["ACME"]}, "00091001": {"vr": "LO", "Value": ["x"]}}
    xml = native_dicom_model(private | attributes).decode()
    assert 'xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve"' in xml
    assert '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1">' in xml
    assert "<Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic>" in xml
    assert '<DicomAttribute tag="00090001" vr="LO" privateCreator="ACME"><Value number="1">x</Value>' in xml


def test_a_private_creator_that_is_only_named_gets_a_block_of_its_own() -> None:
    xml = (
        '<NativeDicomModel><DicomAttribute tag="00090001" vr="LO" privateCreator="A"/>'
        '<DicomAttribute tag="00090001" vr="SH" privateCreator="B"/></NativeDicomModel>'
    )
    assert parse_native(xml.encode()) == {
        "00090010": {"vr": "LO", "Value": ["A"]},
        "00090011": {"vr": "LO", "Value": ["B"]},
        "00091001": {"vr": "LO"},
        "00091101": {"vr": "SH"},
    }


def test_what_xml_cannot_hold_is_replaced_and_line_ends_are_kept() -> None:
    xml = native_dicom_model({"00104000": {"vr": "LT", "Value": ["a\x0b\ud800b\r\nc]]>"]}})
    assert parse_native(xml)["00104000"]["Value"] == ["a\ufffd\ufffdb\r\nc]]>"]


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm"])
def test_dcmtk_writes_what_we_read(name: str, tmp_path: Path) -> None:
    if not shutil.which("dcm2xml"):
        pytest.skip("DCMTK is not installed")
    file = tmp_path / name
    file.write_bytes(shipped(name))
    written = subprocess.run(["dcm2xml", "--native-format", "+U8", "-q", file], capture_output=True, check=True).stdout
    ours = parse_instance(shipped(name)).attributes

    theirs = parse_native(written)

    # It rounds the floats, and keeps binary values for itself.
    texts = {tag for tag, each in ours.items() if "Value" in each and each["vr"] != "FL"} - {"00080005"}
    assert {tag: theirs[tag] for tag in texts} == {tag: ours[tag] for tag in texts}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<NativeDicomModel>",
        b"<Other/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><NativeDicomModel/>',
        b'<!DOCTYPE NativeDicomModel SYSTEM "file:///etc/passwd"><NativeDicomModel/>',
        b'<NativeDicomModel><DicomAttribute tag="1" vr="LO"/></NativeDicomModel>',
        b'<NativeDicomModel><DicomAttribute tag="00100020"/></NativeDicomModel>',
        b'<NativeDicomModel><DicomAttribute tag="00100020" vr="LO"><Value>x</Value></DicomAttribute>'
        b"</NativeDicomModel>",
        b'<NativeDicomModel><DicomAttribute tag="00100020" vr="LO"><Value number="99999999">x</Value></DicomAttribute>'
        b"</NativeDicomModel>",
        b'<NativeDicomModel><DicomAttribute tag="00100010" vr="PN"><Value number="1">x</Value></DicomAttribute>'
        b"</NativeDicomModel>",
        b'<?xml version="1.0" encoding="no-such"?><NativeDicomModel/>',
        b"<NativeDicomModel>" + b'<DicomAttribute tag="00400275" vr="SQ"><Item number="1">' * 200,
    ],
)
def test_what_is_no_such_document_is_refused(document: bytes) -> None:
    with pytest.raises(NativeXmlError):
        parse_native(document)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: f"<NativeDicomModel>{text}".encode()))
def test_any_bytes_are_read_or_refused(document: bytes) -> None:
    try:
        parse_native(document)
    except NativeXmlError:
        return
    ElementTree.fromstring(document)
