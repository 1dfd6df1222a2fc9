import json

import pytest

from services.archive import content, errors
from services.archive.errors import IllegalUid, InvalidFrames, http_status
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
    assert content.frame_numbers(text) == tuple(int(part) for part in text.split(","))


@pytest.mark.parametrize("text", ["", "0", "1,0", "-1", "a", "1, 2", "1,", "²", ",".join(["1"] * 10_001)])
def test_what_is_no_frame_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidFrames):
        content.frame_numbers(text)


_STATUS = {
    errors.NoSuchStudy(): 404,
    errors.NoSuchSeries(): 404,
    errors.NoSuchInstance(): 404,
    errors.NoSuchFrame(): 404,
    errors.NoSuchBulkData(): 404,
    errors.NoSuchPixelData(): 404,
    errors.IllegalUid(): 400,
    errors.InvalidFrames(): 400,
    errors.InvalidQuery("limit"): 400,
    errors.NotAcceptable(["a/b"]): 406,
    errors.NotDecodable(): 406,
    errors.NotRenderable(): 406,
    errors.NotWritable(): 406,
    errors.TooMuch(): 406,
    errors.DatabaseUnavailable(): 503,
    errors.PixelsBusy(): 503,
    errors.TooManyInstances(): 500,  # of a C-MOVE, which has no HTTP
    errors.UnreadableFact(): 500,
}


@pytest.mark.parametrize(("fault", "status"), _STATUS.items(), ids=lambda each: type(each).__name__)
def test_every_fault_has_a_status(fault: Fault, status: int) -> None:
    assert http_status(fault) == status
    assert fault.reason


def test_no_fault_is_without_a_status() -> None:
    def leaves(kind: type[Fault]) -> set[type[Fault]]:
        below = kind.__subclasses__()
        return {kind} if not below else set().union(*map(leaves, below))

    assert {kind for kind in leaves(Fault) if kind.__module__ == errors.__name__} == {type(fault) for fault in _STATUS}
