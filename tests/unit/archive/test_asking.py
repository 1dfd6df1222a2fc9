import pytest
from fastapi import Request

from services.archive.api.asking import known_to, range_of, ranges_of


def request(query: str = "", *headers: tuple[str, str]) -> Request:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": raw})


@pytest.mark.parametrize(
    ("query", "headers", "types"),
    [
        ("", [], ["*/*"]),
        ("", [("Accept", "a/b, c/d;q=0.5")], ["a/b", "c/d"]),
        ("", [("Accept", "c/d;q=0.5"), ("Accept", "a/b")], ["a/b", "c/d"]),
        ("accept=a/b", [("Accept", "c/d")], ["a/b"]),
        ("accept=", [("Accept", "c/d")], ["c/d"]),
        ("accept=application/dicom%2Bjson", [], ["application/dicom+json"]),
        ("accept=application/dicom+json", [], ["application/dicom+json"]),
    ],
)
def test_the_query_says_before_the_header_what_is_accepted(
    query: str, headers: list[tuple[str, str]], types: list[str]
) -> None:
    assert [each.media_type for each in ranges_of(request(query, *headers))] == types


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("", None),
        ("bytes=0-99", (0, 100)),
        ("bytes = 0 - 99", (0, 100)),
        ("bytes=990-", (990, 10)),
        ("bytes=990-2000", (990, 10)),
        ("bytes=-10", (990, 10)),
        ("bytes=-5000", (0, 1000)),
        ("bytes=999-999", (999, 1)),
        ("bytes=1000-", (1000, 0)),
        ("bytes=2000-3000", (2000, 0)),
        ("bytes=2000-", (2000, 0)),
        ("bytes=-0", (1000, 0)),
        # passed over: the whole is sent
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=x-y", None),
        ("bytes=١-٢", None),
        ("bytes=0-99999999999999999999999999999999", None),
    ],
)
def test_a_byte_range_is_read(asked: str, wanted: tuple[int, int] | None) -> None:
    raw = [(b"range", asked.encode())]
    asking = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw})
    assert range_of(asking, 1000, '"tag"') == wanted


@pytest.mark.parametrize(("condition", "wanted"), [('"tag"', (0, 10)), ('"other"', None), ('W/"tag"', None)])
def test_a_range_of_another_version_is_passed_over(condition: str, wanted: tuple[int, int] | None) -> None:
    asking = request("", ("Range", "bytes=0-9"), ("If-Range", condition))
    assert range_of(asking, 1000, '"tag"') == wanted


@pytest.mark.parametrize(
    ("header", "known"),
    [(None, False), ('"a"', True), ('"b", W/"a"', True), ("*", True), ('"b"', False), ("a", False)],
)
def test_a_client_has_what_it_names(header: str | None, known: bool) -> None:
    headers = [] if header is None else [("If-None-Match", header)]
    assert known_to(request("", *headers))('"a"') is known
