"""Every fault of the worklist has a code, a sentence and a status."""

from __future__ import annotations

import pytest

from services.chassis.faults import Fault, PermanentFault
from services.contracts.card import CardInput, InputKind
from services.worklist import errors

FAULTS = [
    (errors.DatabaseUnavailableError(), 503),
    (errors.ModelsError("ct-lung", "model.yaml is not YAML"), 400),
    (errors.UnreadableFactError(), 400),
    (errors.UnreadableSeriesError(), 400),
    (errors.NoSuchJobError(), 404),
    (errors.NoSuchModelError(), 404),
    (errors.NothingToRunError("ct-lung"), 409),
    (errors.MissingInputError("ct-change", [CardInput("prior", InputKind.VOLUME, "HU", "true")]), 409),
    (errors.UnfitInputError("there is no such series for prior"), 409),
    (errors.JobConflictError("job-ended", "the job is completed: it cannot be cancelled"), 409),
]


@pytest.mark.parametrize(("fault", "status"), FAULTS, ids=lambda value: type(value).__name__)
def test_every_fault_has_a_status_of_its_own(fault: Fault, status: int) -> None:
    assert errors.http_status(fault) == status
    assert fault.code
    assert fault.reason


def test_every_fault_of_the_tree_is_tried_here_and_drawn_there() -> None:
    tree = {
        value.__name__
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Fault) and value.__module__ == errors.__name__
    }
    assert tree == {type(fault).__name__ for fault, _ in FAULTS}
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in tree)


def test_what_the_archive_does_not_hold_is_not_there() -> None:
    assert errors.http_status(PermanentFault("no-such-series", "there is no such series in this study")) == 404
    assert errors.http_status(PermanentFault("peer-failed", "a service could not answer")) == 400
