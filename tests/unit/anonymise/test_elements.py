"""The reader of raw elements: whatever the bytes are, they are read or refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.elements import IMPLICIT, PIXEL_DATA, Coding, items_of, read_file
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.errors import RefusedError
from tests.unit.anonymise import planted
from tests.unit.anonymise.planted import ct, element, fragments, items, open_sequence, part10

POLICY = Policy(Pseudonyms(b"k" * 32))
REGION = 0x00082218
WHOLE = part10(
    ct(
        element(REGION, "SQ", items(element(0x00080104, "LO", b"Lung"))),
        open_sequence(0x00082228, open_sequence(0x00082230, element(0x00080104, "LO", b"Lung"))),
        element(0x00090010, "LO", b"CREATOR"),
    )
)


def test_elements_are_read_with_their_raw_values() -> None:
    file = read_file(WHOLE)
    by_tag = {e.tag: e for e in file.elements}
    assert file.coding == Coding(True, "<") and file.transfer_syntax == planted.EXPLICIT
    assert by_tag[0x00100010].value == b"Doe^Jane" and by_tag[0x00100010].vr == "PN"
    assert bytes(by_tag[PIXEL_DATA].value) == planted.PIXELS
    sequence = items_of(by_tag[REGION])
    assert sequence is not None and sequence[0][0].value == b"Lung"


def test_a_sequence_of_undefined_length_is_read_to_its_own_end() -> None:
    outer = next(e for e in read_file(WHOLE).elements if e.tag == 0x00082228)
    assert outer.items is not None and outer.items[0][0].items is not None
    assert outer.items[0][0].items[0][0].value == b"Lung"


def test_delimiters_inside_of_a_fragment_end_nothing() -> None:
    part = b"\xfe\xff\xdd\xe0\0\0\0\0" * 3
    file = read_file(part10(ct(pixels=fragments(part, part)), syntax=planted.JPEG_LS))
    assert file.elements[-1].undefined and bytes(file.elements[-1].value).count(part) == 2


def test_a_sequence_under_vr_un_is_read_as_implicit_vr() -> None:
    content = items(element(0x00080104, "LO", b"Lung", explicit=False))
    found = next(e for e in read_file(part10(ct(element(REGION, "UN", content)))).elements if e.tag == REGION)
    sequence = items_of(found)
    assert sequence is not None and sequence[0][0].coding == IMPLICIT


def test_zeros_behind_the_data_set_are_read_past() -> None:
    for count in (1, 6, 8, 3_000_001):
        assert len(read_file(WHOLE + bytes(count)).elements) == len(read_file(WHOLE).elements)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(132, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_are_cleaned_or_refused_and_nothing_else(damage: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for position, byte in damage:
        data[position] = byte
    try:
        done = deidentify(bytes(data), POLICY)
    except RefusedError:
        return
    assert b"Doe^Jane" not in done.data


@given(st.integers(0, len(WHOLE) - 1))
def test_a_cut_file_is_refused_wherever_the_cut_is(cut: int) -> None:
    try:
        deidentify(WHOLE[:cut], POLICY)
    except RefusedError:
        return
    # Only a cut between two elements can go unseen, as long as the file says all that is asked of it.
    assert any(len(part10([])) + len(b"".join(part)) == cut for part in _beginnings())


def _beginnings() -> list[list[bytes]]:
    elements = ct(
        element(REGION, "SQ", items(element(0x00080104, "LO", b"Lung"))),
        open_sequence(0x00082228, open_sequence(0x00082230, element(0x00080104, "LO", b"Lung"))),
        element(0x00090010, "LO", b"CREATOR"),
    )
    return [elements[:count] for count in range(len(elements) + 1)]


def test_an_empty_item_is_an_item() -> None:
    found = next(e for e in read_file(part10(ct(element(REGION, "SQ", items(b""))))).elements if e.tag == REGION)
    assert items_of(found) == [[]]


@pytest.mark.parametrize(
    "tail", [b"\xfe\xff\x00\xe0\x08\0\0\0", b"\x10\x00\x10\x00PN\x20\x00abc", b"\x10\x00\x10\x00ZZ\x02\x00ab"]
)
def test_a_length_beyond_the_end_or_an_unheard_of_vr_is_refused(tail: bytes) -> None:
    with pytest.raises(RefusedError):
        read_file(WHOLE + tail)
