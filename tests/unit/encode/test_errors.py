from __future__ import annotations

import inspect

from services.chassis.faults import PassingFault, PermanentFault
from services.encode import errors


def _faults() -> list[type]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


def test_every_fault_passes_or_stays_and_stands_in_the_drawn_tree() -> None:
    drawn = inspect.getdoc(errors) or ""
    passing, permanent = drawn.split("PermanentFault")
    for kind in _faults():
        if issubclass(kind, PassingFault):
            assert kind.__name__ in passing
        else:
            assert issubclass(kind, PermanentFault)
            assert kind.__name__ in permanent


def test_every_fault_has_a_code_of_its_own_and_a_sentence() -> None:
    samples = [
        kind(*(1 if "int" in str(parameter.annotation) else "x" for parameter in _arguments(kind)))
        for kind in _faults()
    ]
    assert len({fault.code for fault in samples}) == len(samples)
    assert all(len(fault.reason) > 20 for fault in samples)


def _arguments(kind: type) -> list[inspect.Parameter]:
    return list(inspect.signature(kind).parameters.values())
