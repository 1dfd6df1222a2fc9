"""The tree of faults is complete, and each says something a person can read."""

from __future__ import annotations

import inspect

import pytest

from services.chassis.faults import PassingFault, PermanentFault
from services.inference import errors
from services.inference.errors import ModelFailed, NotAPicture, NotAVolume, Refusal

FAULTS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value)
    and issubclass(value, PassingFault | PermanentFault)
    and value.__module__ == errors.__name__
]


def test_every_fault_stands_in_the_drawn_tree_under_its_parent() -> None:
    drawn = errors.__doc__ or ""
    passing, _, permanent = drawn.partition("PermanentFault\n")
    for fault in FAULTS:
        assert f" {fault.__name__} " in (passing if issubclass(fault, PassingFault) else permanent)


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_says_what_is_wrong_and_then_what_to_do(refusal: Refusal) -> None:
    for fault in (NotAVolume, NotAPicture):
        wrong, _, advice = fault(refusal, "something is odd").reason.partition("; ")
        assert wrong.endswith(": something is odd")
        assert advice.split()[0] in ("send", "run")


def test_the_words_of_a_model_are_kept_short_and_on_one_line() -> None:
    reason = ModelFailed("toy", "line one\n  line two " + "x" * 1000).reason
    assert "line one line two" in reason and "\n" not in reason
    assert len(reason) < 340
