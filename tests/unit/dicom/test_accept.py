import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dicom.accept import MediaRange, Offer, choose, parse_accept

LITTLE = "1.2.840.10008.1.2.1"
J2K = "1.2.840.10008.1.2.4.90"
JSON = Offer("application/dicom+json")
FRAMES = Offer("multipart/related", "application/octet-stream", J2K)
DICOM = Offer("multipart/related", "application/dicom", J2K)
SINGLE = Offer("application/dicom", transfer_syntax=J2K)


@pytest.mark.parametrize("header", [None, "", "  "])
def test_no_header_accepts_everything(header: str | None) -> None:
    assert parse_accept(header) == (MediaRange("*/*"),)


@pytest.mark.parametrize(
    ("header", "offers", "chosen"),
    [
        # OHIF
        ("application/dicom+json", [JSON], JSON),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", [FRAMES], FRAMES),
        ('multipart/related; type="application/dicom"', [DICOM, SINGLE], DICOM),
        # dicomweb-client
        ("application/dicom+json, application/json", [JSON], JSON),
        (f'multipart/related; type="application/octet-stream"; transfer-syntax={LITTLE}', [FRAMES], None),
        (f'multipart/related; type="application/octet-stream"; transfer-syntax={J2K}', [FRAMES], FRAMES),
        # browsers, curl, Weasis
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", [JSON], JSON),
        ("*/*", [DICOM, SINGLE], DICOM),
        ("application/dicom", [DICOM, SINGLE], SINGLE),
        (
            "multipart/related;type=application/dicom;transfer-syntax=*;q=0.5, application/dicom",
            [DICOM, SINGLE],
            SINGLE,
        ),
        ("multipart/related", [FRAMES], FRAMES),
        ('multipart/related; type="application/*"', [FRAMES], FRAMES),
        ("application/*", [JSON], JSON),
        # nothing that we have
        ("image/jpeg", [JSON, FRAMES], None),
        ('multipart/related; type="image/jpeg"', [FRAMES], None),
        ("*/*;q=0", [JSON], None),
        ("complete garbage", [JSON], None),
    ],
)
def test_the_best_alternative_is_chosen(header: str, offers: list[Offer], chosen: Offer | None) -> None:
    assert choose(parse_accept(header), offers) == chosen


def test_commas_and_semicolons_inside_quotation_marks_part_nothing() -> None:
    ranges = parse_accept('multipart/related; type="a/b"; x="1,2;3", text/plain')
    assert [each.media_type for each in ranges] == ["multipart/related", "text/plain"]


@pytest.mark.parametrize(("q", "weight"), [("0.5", 0.5), ("7", 1.0), ("x", 1.0), ("nan", 1.0)])
def test_a_weight_that_is_none_counts_as_one(q: str, weight: float) -> None:
    assert parse_accept(f"text/plain;q={q}")[0].q == weight


@given(st.text(max_size=80))
def test_no_header_is_an_error(header: str) -> None:
    for each in parse_accept(header):
        assert 0 < each.q <= 1


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8))
def test_alternatives_come_by_weight_and_equal_ones_in_their_order(weights: list[int]) -> None:
    header = ", ".join(f"a/t{number};q={weight / 1000}" for number, weight in enumerate(weights))
    expected = sorted(range(len(weights)), key=lambda number: -weights[number])
    assert [each.media_type for each in parse_accept(header)] == [f"a/t{number}" for number in expected]
