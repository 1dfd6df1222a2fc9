import json

import pytest

from services.archive import content
from services.archive.errors import (
    DatabaseUnavailable,
    IllegalUid,
    InvalidFrames,
    InvalidQuery,
    NoSuchBulkData,
    NoSuchFrame,
    NoSuchInstance,
    NoSuchSeries,
    NoSuchStudy,
    NotAcceptable,
    NotDecodable,
    UnreadableFact,
    http_status,
)
from services.archive.model import Document, Resource, etag
from services.chassis.faults import Fault
from services.dicom.part10 import parse_instance
from tests.unit.dicom.samples import shipped


def test_a_resource_has_a_path_and_only_legal_uids() -> None:
    assert Resource("1.2").path == "studies/1.2"
    assert Resource("1.2", "1.3", "1.4").path == "studies/1.2/series/1.3/instances/1.4"
    for wrong in (("x",), ("1.2", "1..3"), ("1.2", "1.3", "../1")):
        with pytest.raises(IllegalUid):
            Resource(*wrong)


def test_every_bulk_data_uri_of_a_document_becomes_absolute_and_nothing_else_changes() -> None:
    parsed = parse_instance(shipped("CT_small.dcm"))
    url = "https://host/dicom-web/studies/1/series/2"

    answered = json.loads(Document(1, b"[%b]" % parsed.metadata).at(url))[0]

    assert answered["7FE00010"]["BulkDataURI"].startswith(f"{url}/instances/")
    changed = {tag for tag, element in answered.items() if element != parsed.attributes[tag]}
    assert changed == {tag for tag, element in parsed.attributes.items() if "BulkDataURI" in element}


def test_a_value_that_looks_like_a_bulk_data_uri_is_left_alone() -> None:
    text = '"BulkDataURI":"instances/'
    body = json.dumps([{"00104000": {"vr": "LT", "Value": [text]}}], separators=(",", ":")).encode()
    assert json.loads(Document(1, body).at("https://host"))[0]["00104000"]["Value"] == [text]


def test_an_entity_tag_changes_with_each_of_its_parts() -> None:
    assert len({etag("a", 1), etag("a", 2), etag("b", 1), etag("a1"), etag("a", (1,))}) == 5


@pytest.mark.parametrize("text", ["1", "3,1,2", "10"])
def test_frame_lists_are_read(text: str) -> None:
    assert content.frame_numbers(text) == [int(part) for part in text.split(",")]


@pytest.mark.parametrize("text", ["", "0", "1,0", "-1", "a", "1, 2", "1,", "²", ",".join(["1"] * 10_001)])
def test_what_is_no_frame_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidFrames):
        content.frame_numbers(text)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (NoSuchStudy(), 404),
        (NoSuchSeries(), 404),
        (NoSuchInstance(), 404),
        (NoSuchFrame(), 404),
        (NoSuchBulkData(), 404),
        (IllegalUid(), 400),
        (InvalidFrames(), 400),
        (InvalidQuery("limit"), 400),
        (NotAcceptable(["a/b"]), 406),
        (NotDecodable(), 406),
        (DatabaseUnavailable(), 503),
        (UnreadableFact(), 500),
    ],
)
def test_every_fault_has_a_status(fault: Fault, status: int) -> None:
    assert http_status(fault) == status
    assert fault.reason


def test_no_fault_is_without_a_status() -> None:
    def leaves(kind: type[Fault]) -> set[type[Fault]]:
        below = kind.__subclasses__()
        return {kind} if not below else set().union(*map(leaves, below))

    ours = {kind for kind in leaves(Fault) if kind.__module__ == "services.archive.errors"}
    assert ours == {
        *(NoSuchStudy, NoSuchSeries, NoSuchInstance, NoSuchFrame, NoSuchBulkData),
        *(IllegalUid, InvalidFrames, InvalidQuery, NotAcceptable, NotDecodable, DatabaseUnavailable, UnreadableFact),
    }
