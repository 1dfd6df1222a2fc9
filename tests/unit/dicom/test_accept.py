import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dicom.accept import MediaRange, Offer, choose, matches, parse_accept

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
        assert 0 <= each.q <= 1


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8))
def test_alternatives_come_by_weight_and_equal_ones_in_their_order(weights: list[int]) -> None:
    header = ", ".join(f"a/t{number};q={weight / 1000}" for number, weight in enumerate(weights))
    expected = sorted(range(len(weights)), key=lambda number: -weights[number])
    assert [each.media_type for each in parse_accept(header)] == [f"a/t{number}" for number in expected]


@pytest.mark.parametrize(
    ("header", "media_type"),
    [("text/html, image/gif, *; q=.2, */*; q=.1", "*/*"), ("*", "*/*"), (" * ;q=0.3", "*/*")],
)
def test_a_lone_star_means_everything(header: str, media_type: str) -> None:
    assert media_type in [each.media_type for each in parse_accept(header)]


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        # the most specific range speaks for an offer, wherever it stands
        ("*/*;q=0.9, multipart/related;q=0.1", SINGLE),
        ("multipart/related; type=application/dicom;q=0, */*", SINGLE),
        ("application/dicom;q=0, */*", DICOM),
        (f"application/dicom; transfer-syntax={J2K};q=0.1, application/dicom, multipart/related;q=0.5", DICOM),
        ("*/*;q=0, application/dicom", SINGLE),
        ("*/*;q=0", None),
    ],
)
def test_a_range_of_weight_0_forbids_and_the_most_specific_one_counts(header: str, chosen: Offer | None) -> None:
    assert choose(parse_accept(header), [DICOM, SINGLE]) == chosen


def test_of_equal_weights_what_is_there_comes_before_what_has_to_be_made() -> None:
    made = Offer("image/jls", transfer_syntax="1.2.840.10008.1.2.4.80", made=True)
    there = Offer("application/octet-stream", transfer_syntax=J2K)
    assert choose(parse_accept("image/jls, application/octet-stream"), [made, there]) == there
    assert choose(parse_accept("image/jls, application/octet-stream;q=0.9"), [made, there]) == made


TYPES = ("application/dicom", "application/octet-stream", "image/jls", "multipart/related")
SYNTAXES = ("", LITTLE, J2K)
OFFERS = st.builds(
    Offer,
    media_type=st.sampled_from(TYPES),
    part_type=st.sampled_from(TYPES[:3]),
    transfer_syntax=st.sampled_from(SYNTAXES),
    made=st.booleans(),
).map(lambda each: each if each.media_type == "multipart/related" else Offer(each.media_type, "", each.transfer_syntax))
RANGES = st.builds(
    MediaRange,
    media_type=st.sampled_from((*TYPES, "*/*", "image/*", "application/*")),
    part_type=st.sampled_from(("", "application/*", *TYPES[:3])),
    transfer_syntax=st.sampled_from((*SYNTAXES, "*")),
    q=st.sampled_from((0.0, 0.3, 0.7, 1.0)),
).map(
    lambda each: (
        each
        if each.media_type == "multipart/related"
        else MediaRange(each.media_type, "", each.transfer_syntax, each.q)
    )
)


def written(wanted: MediaRange, quoted: bool) -> str:
    """The range as a header has it."""
    mark = '"' if quoted else ""
    part = f"; type={mark}{wanted.part_type}{mark}" if wanted.part_type else ""
    syntax = f";transfer-syntax={wanted.transfer_syntax}" if wanted.transfer_syntax else ""
    return f"{wanted.media_type}{part}{syntax}; q={wanted.q}"


@given(st.lists(st.tuples(RANGES, st.booleans()), max_size=5))
def test_a_header_is_read_as_it_was_written(ranges: list[tuple[MediaRange, bool]]) -> None:
    header = ", ".join(written(each, quoted) for each, quoted in ranges)
    expected = sorted((each for each, _ in ranges), key=lambda each: -each.q)
    assert list(parse_accept(header)) == (expected if ranges else [MediaRange("*/*")])


def slow_matches(wanted: MediaRange, offer: Offer) -> bool:
    """RFC 9110 12.5.1 and PS3.18 8.7.4, word for word."""

    def covers(pattern: str, value: str) -> bool:
        pairs = zip(value.split("/"), pattern.split("/"), strict=True)
        return all(want in ("*", have) for have, want in pairs)

    if not covers(wanted.media_type, offer.media_type):
        return False
    if wanted.part_type and not (offer.part_type and covers(wanted.part_type, offer.part_type)):
        return False
    return wanted.transfer_syntax in ("", "*") or wanted.transfer_syntax == offer.transfer_syntax


def slow_weight(ranges: list[MediaRange], offer: Offer) -> tuple[float, int]:
    """The weight of an offer and the place of the range that gives it, found by asking for ever vaguer ones."""
    exact = [f"{offer.media_type}", f"{offer.media_type.split('/')[0]}/*", "*/*"]
    part = offer.part_type
    parts = [part, f"{part.split('/')[0]}/*", ""] if part else [""]
    for media_type in exact:
        for part_type in parts if media_type == "multipart/related" else [""]:
            for syntax in dict.fromkeys((offer.transfer_syntax or "none", "*", "")):
                for at, each in enumerate(ranges):
                    if (each.media_type, each.part_type, each.transfer_syntax) == (media_type, part_type, syntax):
                        return each.q, at
    return 0.0, 0


@given(st.lists(RANGES, max_size=5), st.lists(OFFERS, max_size=5))
def test_choosing_is_what_a_slow_reading_of_the_rules_gives(ranges: list[MediaRange], offers: list[Offer]) -> None:
    ranges = sorted(ranges, key=lambda each: -each.q)
    for offer in offers:
        for wanted in ranges:
            assert matches(wanted, offer) == slow_matches(wanted, offer)
    liked = []
    for number, offer in enumerate(offers):
        weight, at = slow_weight(ranges, offer)
        if weight > 0:
            liked.append((-weight, offer.made, at, number, offer))
    assert choose(ranges, offers) == (min(liked, key=lambda each: each[:4])[4] if liked else None)
