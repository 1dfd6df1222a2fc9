from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest

from services.contracts.events import JobInferred
from services.encode.adapters.npz import unpack
from services.encode.errors import CardMismatch, ResultDamaged
from services.encode.result import FrameName, InferredResult
from tests.unit.encode.made import MADE_AT, boxes, card, inferred, measured, packed, pseudonym


def _unpack(data: bytes, event: JobInferred | None = None, max_bytes: int = 1 << 20) -> InferredResult:
    return unpack(event or inferred(data), data, MADE_AT, max_bytes=max_bytes)


def test_a_result_is_read_as_inference_wrote_it() -> None:
    made = _unpack(packed())
    assert np.array_equal(made.arrays.labels, boxes())
    assert np.array_equal(made.arrays.measurements, measured(), equal_nan=True)
    assert made.frames[0] == FrameName(pseudonym(0), 1)
    assert made.card.name == "ct-lung"
    assert made.made_at == MADE_AT


def test_other_bytes_than_were_announced_are_refused() -> None:
    with pytest.raises(ResultDamaged, match="announced"):
        _unpack(packed(), inferred(packed(boxes(left=0))))


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_truncated_result_is_refused(cut: int) -> None:
    with pytest.raises(ResultDamaged):
        _unpack(packed()[:cut])


def test_a_result_with_a_flipped_bit_is_refused_even_when_its_digest_fits() -> None:
    data = bytearray(packed())
    data[120] ^= 0xFF
    with pytest.raises(ResultDamaged):
        _unpack(bytes(data))


def test_a_result_that_unpacks_to_more_than_is_allowed_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(ResultDamaged, match="RESULT_MAX_BYTES"):
        _unpack(packed(np.zeros((64, 512, 512), np.uint8)))


def test_a_pickle_is_never_loaded() -> None:
    file = BytesIO()
    np.savez(file, labels=np.array([object()], object), measurements=measured(), meta=np.zeros(1, np.uint8))
    with pytest.raises(ResultDamaged):
        _unpack(file.getvalue())


def test_a_result_without_an_array_is_refused() -> None:
    file = BytesIO()
    np.savez(file, labels=boxes())
    with pytest.raises(ResultDamaged, match="cannot be read"):
        _unpack(file.getvalue())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"job_id": "job-2"}, "another job"),
        ({"model": "ct-bone"}, "another job or model"),
        ({"model_version": "2.0.0"}, "another job or model"),
        ({"card": card(version="1.0.1")}, "another job or model"),
        ({"schema": 3}, "of a form"),
        ({"frames": None}, "does not say"),
    ],
)
def test_a_result_of_another_job_model_or_form_is_refused(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(ResultDamaged, match=why):
        _unpack(packed(**changed))


def test_a_malformed_card_is_refused_and_not_quoted() -> None:
    with pytest.raises(CardMismatch) as refused:
        _unpack(packed(card=card(timeout_seconds="Müller^Jürgen")))
    assert "Müller" not in str(refused.value)


def test_meta_that_is_no_json_is_refused() -> None:
    file = BytesIO()
    np.savez(file, labels=boxes(), measurements=measured(), meta=np.frombuffer(b"{nothing", np.uint8))
    with pytest.raises(ResultDamaged, match="does not say"):
        _unpack(file.getvalue())
