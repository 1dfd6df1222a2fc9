"""The chain: whatever is done to it is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import model
from services.audit.model import GENESIS, Break, Entry, Flaw, Head
from services.contracts.events import AuditRecorded


def recorded(number: int, **fields: Any) -> AuditRecorded:
    values: dict[str, Any] = {"study_instance_uid": f"1.2.{number}", "caller": "local", **fields}
    return AuditRecorded(f"{number:032x}", "2026-11-21T12:00:00Z", "archive", "retrieve", "success", **values)


def chain(length: int) -> list[Entry]:
    return model.extend(Head(), [model.canonical(recorded(number)) for number in range(length)])


def relinked(entries: Sequence[Entry]) -> list[Entry]:
    """What a forger would make of it who knows how hashes are made, from the first changed entry on."""
    return model.extend(Head(), [entry.record for entry in entries])


def test_a_chain_that_nobody_touched_holds_to_its_head() -> None:
    entries = chain(5)
    assert model.check(Head(), entries) == Head(5, entries[-1].hash)
    assert model.check(Head(), []) == Head()


def test_a_hash_is_that_of_the_previous_hash_and_the_records_bytes() -> None:
    first, second = chain(2)
    assert first.prev_hash == GENESIS == bytes(32)
    assert first.hash == hashlib.sha256(bytes(32) + first.record).digest()
    assert second.hash == hashlib.sha256(first.hash + second.record).digest()


def test_a_chain_can_be_checked_and_extended_piece_by_piece() -> None:
    entries = chain(5)
    middle = model.check(Head(), entries[:2])
    assert isinstance(middle, Head)
    assert model.check(middle, entries[2:]) == Head(5, entries[-1].hash)
    assert model.extend(middle, [entry.record for entry in entries[2:]]) == entries[2:]


def test_a_record_has_one_form_in_bytes() -> None:
    data = model.canonical(recorded(1, caller="Ärztin"))
    assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert "Ärztin".encode() in data


@given(st.integers(0, 9), st.data())
def test_a_flipped_bit_is_found_at_its_record(place: int, data: st.DataObject) -> None:
    entries = chain(10)
    field = data.draw(st.sampled_from(["record", "prev_hash", "hash"]))
    content = bytearray(getattr(entries[place], field))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    changed: dict[str, Any] = {field: bytes(content)}
    entries[place] = replace(entries[place], **changed)
    found = model.check(Head(), entries)
    assert isinstance(found, Break)
    assert found.seq == place + 1


@given(st.integers(0, 8))
def test_a_deleted_record_is_found(place: int) -> None:
    entries = chain(10)
    del entries[place]
    assert model.check(Head(), entries) == Break(place + 2, Flaw.GAP)


@given(st.integers(0, 8))
def test_a_deleted_record_whose_number_was_closed_up_is_found(place: int) -> None:
    entries = chain(10)
    del entries[place]
    entries = [replace(entry, seq=number) for number, entry in enumerate(entries, 1)]
    assert model.check(Head(), entries) == Break(place + 1, Flaw.LINK)


@given(st.integers(0, 8), st.integers(1, 9))
def test_records_that_changed_places_are_found(place: int, distance: int) -> None:
    entries = chain(10)
    other = min(place + distance, 9)
    one, two = entries[place], entries[other]
    entries[place], entries[other] = replace(two, seq=one.seq), replace(one, seq=two.seq)
    found = model.check(Head(), entries)
    assert isinstance(found, Break)
    assert found.seq == place + 1


@given(st.integers(0, 10))
def test_an_inserted_record_is_found(place: int) -> None:
    entries = chain(10)
    prev = entries[place - 1].hash if place else GENESIS
    record = model.canonical(recorded(99))
    forged = Entry(place + 1, record, prev, model.digest(prev, record), model.index_of(record))
    entries.insert(place, forged)
    found = model.check(Head(), entries)
    # At the end, it is a chain as it should be: the head, kept apart, tells.
    assert found == (Break(place + 1, Flaw.GAP) if place < 10 else Head(11, forged.hash))


def test_a_chain_that_was_forged_from_a_record_on_ends_at_another_head() -> None:
    entries = chain(10)
    entries[3] = replace(entries[3], record=model.canonical(recorded(99)))
    found = model.check(Head(), relinked(entries))
    assert isinstance(found, Head)
    assert found != model.check(Head(), chain(10))


@pytest.mark.parametrize(
    "field", ["record_id", "action", "caller", "study_instance_uid", "series_instance_uid", "job_id"]
)
def test_a_record_that_would_be_found_by_something_else_is_found(field: str) -> None:
    entries = chain(3)
    changed: dict[str, Any] = {field: "else"}
    entries[1] = replace(entries[1], index=replace(entries[1].index, **changed))
    assert model.check(Head(), entries) == Break(2, Flaw.INDEX)


def test_a_record_that_is_no_json_is_found_even_when_it_is_linked() -> None:
    entry = chain(1)[0]
    for record in (b"{", b"[]", b"\xff"):
        forged = replace(entry, record=record, hash=model.digest(GENESIS, record))
        assert model.check(Head(), [forged]) == Break(1, Flaw.INDEX)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-21T12:00:00Z", datetime(2026, 11, 21, 12, tzinfo=UTC)),
        ("2026-11-21T13:00:00.5+01:00", datetime(2026, 11, 21, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
        ("0001-01-01T00:00:00+23:00", None),
    ],
)
def test_a_time_is_read_as_rfc_3339_writes_it(text: str, found: datetime | None) -> None:
    assert model.moment(text) == found


@given(st.text(), st.text())
def test_any_text_can_be_kept_and_searched(caller: str, at: str) -> None:
    caller = caller.encode("utf-8", "replace").decode()
    data = model.canonical(replace(recorded(1), caller=caller, at=at.encode("utf-8", "replace").decode()))
    index = model.index_of(data)
    assert "\x00" not in index.caller
    assert len(index.caller) <= 256
    assert json.loads(data)["caller"] == caller
