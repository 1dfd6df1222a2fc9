import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dicom.multipart import (
    PART_TAIL,
    MultipartError,
    MultipartParser,
    MultipartReason,
    PartBegin,
    PartData,
    PartEnd,
    closing,
    multipart_boundary,
    new_boundary,
    parse_content_type,
    part_head,
    related,
)

DICOM = "application/dicom"
Part = tuple[dict[str, str], bytes]


def parts_of(
    body: bytes, boundary: str, *, step: int | None = None, pieces: Iterable[bytes] | None = None
) -> list[Part]:
    parser = MultipartParser(boundary)
    step = step or max(len(body), 1)
    pieces = pieces or [body[at : at + step] for at in range(0, len(body), step)]
    events = [event for piece in pieces for event in parser.feed(piece)]
    events += parser.close()
    parts: list[Part] = []
    open_part = False
    for event in events:
        match event:
            case PartBegin(headers):
                assert not open_part
                parts.append((dict(headers), b""))
                open_part = True
            case PartData(data):
                assert open_part
                assert data
                parts[-1] = (parts[-1][0], parts[-1][1] + data)
            case PartEnd():
                assert open_part
                open_part = False
    assert not open_part
    return parts


def body_of(contents: list[bytes], boundary: str, content_type: str = DICOM) -> bytes:
    return b"".join(part_head(boundary, content_type) + content + PART_TAIL for content in contents) + closing(boundary)


def reason_of(body: bytes, boundary: str = "b") -> MultipartReason:
    with pytest.raises(MultipartError) as caught:
        parts_of(body, boundary)
    return caught.value.reason


@given(
    contents=st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([b"\r\n", b"\r\n--", b"--", b"\r\n--b\r"]))),
    step=st.integers(1, 64),
)
def test_what_is_written_is_read_however_it_is_cut(contents: list[bytes], step: int) -> None:
    boundary = new_boundary()
    body = body_of([*contents, b"last"], boundary)
    assert parts_of(body, boundary, step=step) == [({"content-type": DICOM}, each) for each in [*contents, b"last"]]


@given(
    content=st.text("\r\n-bx ", max_size=60).map(str.encode),
    step=st.integers(1, 10),
)
def test_content_full_of_near_boundaries_is_read_however_it_is_cut(content: bytes, step: int) -> None:
    # A real delimiter inside the content would end it; a body that contains one is another body.
    if re.search(rb"(^|\r\n)--b(--|[ \t]*\r\n|[ \t]*$|-$)", content):
        return
    assert parts_of(body_of([content], "b"), "b", step=step) == [({"content-type": DICOM}, content)]


def obvious(body: bytes) -> list[Part] | MultipartReason:
    """What RFC 2046 5.1.1 says of a whole body with the boundary `b`: slow, and easy to believe."""
    text = b"\r\n" + body
    delimiter = re.compile(rb"\r\n--b(--|[ \t]*\r\n)")
    parts: list[Part] = []
    found = delimiter.search(text)
    if found is None:
        return MultipartReason.UNFINISHED if body.strip() else MultipartReason.NO_PARTS
    while found[1] != b"--":
        head = re.compile(rb"(?=\r\n)|(.*?\r\n)(?=\r\n)", re.DOTALL).match(text, found.end())
        if head is None:
            return MultipartReason.UNFINISHED
        headers: dict[str, str] = {}
        for line in re.sub(rb"\r\n[ \t]+", b" ", head[0]).split(b"\r\n"):
            name, colon, value = line.decode("latin_1").partition(":")
            if line and not (colon and name.strip()):
                return MultipartReason.BAD_HEADER
            if line:
                headers.setdefault(name.strip().lower(), value.strip())
        # The blank line's end may be that of the delimiter.
        found = delimiter.search(text, head.end())
        if found is None:
            return MultipartReason.UNFINISHED
        parts.append((headers, text[head.end() + 2 : found.start()]))
    return parts or MultipartReason.NO_PARTS


_SHREDS = (
    b"\r\n",
    b"--b",
    b"\r\n--b\r\n",
    b"\r\n--b--",
    b"X: y\r\n",
    b"\r\n\r\n",
    b"--",
    b" ",
    b"x",
    b"-",
    b"\r",
    b"\n",
)


@given(
    shreds=st.lists(st.sampled_from(_SHREDS), max_size=14).map(b"".join),
    cuts=st.sets(st.integers(0, 80)),
)
def test_any_body_however_it_is_cut_is_read_as_the_obvious_reader_reads_it(shreds: bytes, cuts: set[int]) -> None:
    body = b"--b\r\nX: y\r\n\r\n" + shreds
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    expected = obvious(body)
    try:
        found: list[Part] | MultipartReason = parts_of(body, "b", pieces=[body[a:b] for a, b in pairwise(edges)])
    except MultipartError as error:
        found = error.reason
    assert found == expected


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_a_body_as_viewers_send_it_is_read(step: int) -> None:
    first = b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\none"
    second = b"\r\n--b\r\ncontent-type:application/dicom\r\n\r\ntwo\r\n--b--"
    body = first + second
    assert [content for _, content in parts_of(body, "b", step=step)] == [b"one", b"two"]


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_preamble_padding_and_epilogue_are_passed_over(step: int) -> None:
    body = b"for old readers\r\n--b \t\r\n\r\none\r\n--b\r\n\r\n--b\r\n\r\n\r\n--b--\r\nnothing more\r\n--b\r\n"
    assert parts_of(body, "b", step=step) == [({}, b"one"), ({}, b""), ({}, b"")]


def test_folded_header_lines_are_joined_and_names_are_lower_case() -> None:
    body = b"--b\r\nContent-Type: application/dicom;\r\n transfer-syntax=1.2\r\nX-Y: z\r\n\r\n\r\n--b--"
    assert parts_of(body, "b") == [({"content-type": "application/dicom; transfer-syntax=1.2", "x-y": "z"}, b"")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", MultipartReason.NO_PARTS),
        (b"\r\n", MultipartReason.NO_PARTS),
        (b"--b--", MultipartReason.NO_PARTS),
        (b"not multipart at all", MultipartReason.UNFINISHED),
        (b"--b\r\n\r\ncut", MultipartReason.UNFINISHED),
        (b"--b\r\nContent-Type: x", MultipartReason.UNFINISHED),
        (b"--b\r\n\r\none\r\n--b", MultipartReason.UNFINISHED),
        (b"--b\r\nno colon here\r\n\r\none\r\n--b--", MultipartReason.BAD_HEADER),
        (b"--b\r\nX: " + b"x" * 20000, MultipartReason.HEADERS_TOO_LARGE),
        (b"--b\r\nX: " + b"x" * 20000 + b"\r\n\r\none\r\n--b--", MultipartReason.HEADERS_TOO_LARGE),
    ],
)
def test_a_body_that_is_not_whole_is_refused_with_a_reason(body: bytes, reason: MultipartReason) -> None:
    assert reason_of(body) is reason
    assert reason.text


def test_memory_stays_at_one_chunk() -> None:
    parser = MultipartParser("b")
    parser.feed(b"--b\r\n\r\n")
    for _ in range(100):
        parser.feed(bytes(65536))
    assert len(parser._buffer) < 100


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', "abc"),
        ('multipart/related; boundary="a b"; type=application/dicom', "a b"),
        ("multipart/related;boundary=abc", "abc"),
        ("Multipart/Related; Type=Application/DICOM; Boundary=aBc", "aBc"),
        (related(DICOM, "abc"), "abc"),
    ],
)
def test_the_boundary_is_found(header: str, boundary: str) -> None:
    assert multipart_boundary(header) == boundary


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", MultipartReason.BAD_CONTENT_TYPE),
        ("garbage", MultipartReason.BAD_CONTENT_TYPE),
        ("multipart/related; boundary", MultipartReason.BAD_CONTENT_TYPE),
        ("application/dicom", MultipartReason.NOT_MULTIPART),
        ("multipart/form-data; boundary=b", MultipartReason.NOT_MULTIPART),
        ('multipart/related; type="text/plain"; boundary=b', MultipartReason.WRONG_TYPE),
        ("multipart/related; type=application/dicom", MultipartReason.NO_BOUNDARY),
        ("multipart/related; boundary=", MultipartReason.NO_BOUNDARY),
        (f"multipart/related; boundary={'b' * 71}", MultipartReason.NO_BOUNDARY),
    ],
)
def test_a_content_type_that_will_not_do_is_refused_with_a_reason(header: str, reason: MultipartReason) -> None:
    with pytest.raises(MultipartError) as caught:
        multipart_boundary(header)
    assert caught.value.reason is reason


def test_quoted_parameters_keep_what_is_inside() -> None:
    parsed = parse_content_type(r'text/plain; a="x;y, \"z\""; b=c/d ;')
    assert parsed.parameters == {"a": 'x;y, "z"', "b": "c/d"}
