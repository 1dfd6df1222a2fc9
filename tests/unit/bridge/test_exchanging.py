"""Counts, presentation contexts and addresses of a retrieval."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.bridge.adapters.addresses import AddressBook
from services.bridge.exchanging import Address, Counts, Place, addresses, chosen, proposals
from services.chassis.log import Log

EXPLICIT, IMPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5"


def place(sop_class: str = "1.1", syntax: str = EXPLICIT) -> Place:
    return Place("1", "1.2", "1.2.3", sop_class, syntax, 100)


@pytest.mark.parametrize(
    ("statuses", "counts", "last"),
    [
        ([0x0000, 0x0000], Counts(0, completed=2), 0x0000),
        ([0x0000, 0xA700], Counts(0, completed=1, failed=1), 0xB000),
        ([0x0000, 0xB000], Counts(0, completed=1, warning=1), 0xB000),
        ([0xB007, 0x0107], Counts(0, warning=2), 0xB000),
        ([None, 0xC000], Counts(0, failed=2), 0xA702),
        ([], Counts(0), 0x0000),
    ],
)
def test_a_retrieval_ends_as_its_parts_did(statuses: list[int | None], counts: Counts, last: int) -> None:
    found = Counts(len(statuses))
    for status in statuses:
        found = found.after(status)
    assert found == counts
    assert found.status == last


def test_each_class_is_proposed_as_it_is_stored_and_uncompressed() -> None:
    places = [place(), place(syntax=RLE), place("1.2", IMPLICIT)]
    assert proposals(places) == [
        ("1.1", (EXPLICIT, IMPLICIT)),
        ("1.2", (EXPLICIT, IMPLICIT)),
        ("1.1", (RLE,)),
        ("1.2", (IMPLICIT,)),
    ]


def test_there_are_never_more_contexts_than_an_association_can_have() -> None:
    places = [place(f"1.{number}", RLE) for number in range(100)] + [place("1.7", RLE)] * 5
    found = proposals(places)
    assert len(found) == 128
    assert found[100] == ("1.7", (RLE,))


@pytest.mark.parametrize(
    ("accepted", "syntax"),
    [((EXPLICIT, RLE), RLE), ((IMPLICIT, EXPLICIT), EXPLICIT), ((IMPLICIT,), IMPLICIT), ((), None)],
)
def test_an_instance_goes_as_it_is_stored_or_uncompressed(accepted: tuple[str, ...], syntax: str | None) -> None:
    assert chosen(place(syntax=RLE), accepted) == syntax


def test_addresses_are_read_from_a_line_and_from_a_file() -> None:
    text = "CT1=10.0.0.1:104, WS = station.example:11112\nV6=[::1]:104 # the one in the cellar\n\n# nobody\n"
    assert addresses(text) == {
        "CT1": Address("10.0.0.1", 104),
        "WS": Address("station.example", 11112),
        "V6": Address("::1", 104),
    }


@pytest.mark.parametrize("text", ["CT1", "CT1=host", "CT1=host:port", "=h:1", "CT1=:1", "CT1=h:0", "A" * 17 + "=h:1"])
def test_what_is_no_address_is_named_by_its_number_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="entry 2") as error:
        addresses(f"OK=h:1\n{text}")
    assert text not in str(error.value)


def test_the_file_of_addresses_is_read_again_when_it_changes_and_a_slip_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "peers"
    book = AddressBook({"A": Address("a", 1), "B": Address("b", 1)}, file, log=Log("bridge"))
    assert book.of("A") == Address("a", 1)
    for number, (text, found) in enumerate([("A=x:2", "x"), ("A=y:2\nnonsense", "x"), ("A=z:2", "z")]):
        file.write_text(text)
        os.utime(file, ns=(number, number))
        assert book.of("A") == Address(found, 2)
    assert book.of("B") == Address("b", 1)
    file.unlink()
    assert book.of("A") == Address("a", 1)
