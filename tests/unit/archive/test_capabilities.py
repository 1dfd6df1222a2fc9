from xml.etree.ElementTree import fromstring

import pytest

from services.archive.capabilities import RESOURCES, find, listed, wadl

NAMESPACE = {"w": "http://wadl.dev.java.net/2009/02"}
BASE = "http://here/dicom-web"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("studies", ("GET", "HEAD", "OPTIONS", "POST")),
        ("studies/1.2", ("DELETE", "GET", "HEAD", "OPTIONS", "POST")),
        ("studies/1.2/series/1.3/instances/1.4", ("DELETE", "GET", "HEAD", "OPTIONS")),
        ("studies/1.2/series/1.3/instances/1.4/frames/1,2", ("GET", "HEAD", "OPTIONS")),
        ("studies/1.2/pixeldata", ("GET", "HEAD", "OPTIONS")),
    ],
)
def test_a_resource_says_what_can_be_done_with_it(path: str, allow: tuple[str, ...]) -> None:
    found = find(path)
    assert found is not None
    assert found.allow == allow


@pytest.mark.parametrize("path", ["", "study", "studies/", "studies/1.2/frames/1", "studies/1.2/series/1.3/x"])
def test_what_is_no_resource_is_not_found(path: str) -> None:
    assert find(path) is None


def test_the_description_is_a_tree_of_all_resources_with_their_methods() -> None:
    application = fromstring(wadl(BASE))
    assert application.tag == f"{{{NAMESPACE['w']}}}application"
    (resources,) = application.findall("w:resources", NAMESPACE)
    assert resources.attrib == {"base": BASE}
    methods = application.findall(".//w:method", NAMESPACE)
    assert len(methods) == sum(len(each.transactions) for each in RESOURCES)
    assert len({each.attrib["id"] for each in methods}) == len(methods)
    frames = resources.find(
        "w:resource[@path='studies']/w:resource[@path='{study}']/w:resource[@path='series']"
        "/w:resource[@path='{series}']/w:resource[@path='instances']/w:resource[@path='{instance}']"
        "/w:resource[@path='frames']/w:resource[@path='{frames}']/w:method",
        NAMESPACE,
    )
    assert frames is not None
    assert frames.attrib == {"name": "GET", "id": "RetrieveFrames"}
    media_types = [each.attrib["mediaType"] for each in frames.findall(".//w:representation", NAMESPACE)]
    assert 'multipart/related; type="application/octet-stream"; transfer-syntax=*' in media_types


def test_the_same_can_be_had_as_json() -> None:
    paths = [each["path"] for each in listed(BASE)["resources"]]
    assert paths == [each.path for each in RESOURCES]
