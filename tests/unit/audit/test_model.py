"""Records: one form in bytes, a commitment each, and what may be wrong with one as it stands."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import commitments, model
from services.audit.model import Flaw, Index
from tests.unit.audit.memory import recorded


def test_a_record_has_one_form_in_bytes() -> None:
    data = model.canonical(recorded(1, caller="Ärztin"))
    assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert "Ärztin".encode() in data


def test_a_leaf_is_a_salted_commitment_and_of_the_same_record_never_the_same() -> None:
    record = model.canonical(recorded(1))
    one, two = model.entries(0, [record, record])
    assert one.salt is not None
    assert one.leaf == hashlib.sha256(one.salt + record).digest() == commitments.commit(one.salt, record)
    assert (one.seq, two.seq) == (1, 2)
    assert one.leaf != two.leaf
    with pytest.raises(ValueError, match="32"):
        commitments.commit(b"short", record)


@given(st.data())
def test_a_flipped_bit_of_an_entry_is_found(data: st.DataObject) -> None:
    (entry,) = model.entries(0, [model.canonical(recorded(1))])
    field = data.draw(st.sampled_from(["record", "salt", "leaf"]))
    content = bytearray(getattr(entry, field))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    changed: dict[str, Any] = {field: bytes(content)}
    assert model.flaw_of(replace(entry, **changed)) is Flaw.CONTENT


@pytest.mark.parametrize(
    "field", ["record_id", "action", "caller", "study_instance_uid", "series_instance_uid", "job_id", "at"]
)
def test_a_record_that_would_be_found_by_something_else_is_found(field: str) -> None:
    (entry,) = model.entries(0, [model.canonical(recorded(1))])
    changed: dict[str, Any] = {field: None if field == "at" else "else"}
    assert model.flaw_of(entry) is None
    assert model.flaw_of(replace(entry, index=replace(entry.index, **changed))) is Flaw.INDEX


def test_a_record_that_is_no_json_is_found_even_when_its_commitment_is_right() -> None:
    (entry,) = model.entries(0, [model.canonical(recorded(1))])
    assert entry.salt is not None
    for record in (b"{", b"[]", b"\xff"):
        forged = replace(entry, record=record, leaf=commitments.commit(entry.salt, record))
        assert model.flaw_of(forged) is Flaw.INDEX


def test_of_an_erased_record_the_id_is_left_and_nothing_else() -> None:
    (entry,) = model.entries(0, [model.canonical(recorded(1))])
    erased = replace(entry, record=None, salt=None, index=Index(entry.index.record_id))
    assert model.flaw_of(erased) is None
    assert model.flaw_of(replace(erased, index=entry.index)) is Flaw.INDEX
    assert model.flaw_of(replace(erased, salt=entry.salt)) is Flaw.CONTENT
    assert model.erased_by(erased) == model.erased_by(entry) == ""
    (telling,) = model.entries(1, [model.canonical(recorded(2, action="audit-erase", about="x"))])
    assert model.erased_by(telling) == "x"


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
