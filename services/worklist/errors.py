"""What the worklist refuses or cannot do.

PassingFault
└── DatabaseUnavailableError
PermanentFault
├── ModelsError               at the start: a card or a rule cannot be used
├── UnreadableFactError       a message is not the event that its subject promises
├── UnreadableSeriesError     the archive's answer is no DICOM JSON object
├── NoSuchJobError            404
├── NoSuchModelError          404
├── NothingToRunError         409: no series of the study is one that the model takes
├── MissingInputError         409: a further series that the model takes is not there
├── UnfitInputError           409: a series that somebody chose for an input cannot be taken
├── JobConflictError          409: what is asked does not fit the job's state
└── WorkItemRefusedError      of UPS-RS: services.worklist.ups.refusals

`services.selection.errors.RuleFailedError` is no fault: the rule does not select, and the log says which model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.chassis.faults import Fault, PassingFault, PermanentFault
from services.contracts.card import CardInput, InputFrom


class DatabaseUnavailableError(PassingFault):
    """PostgreSQL does not answer now."""

    def __init__(self) -> None:
        super().__init__("database-unavailable", "the worklist's database does not answer")


class ModelsError(PermanentFault):
    """A model package cannot be used; the service does not start with it."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__("model-unusable", f"model {model}: {reason}")


class UnreadableFactError(PermanentFault):
    """The bytes are not the event that the subject promises."""

    def __init__(self) -> None:
        super().__init__("unreadable-event", "a message is not the event that its subject promises")


class UnreadableSeriesError(PermanentFault):
    """The archive's description of a series cannot be read."""

    def __init__(self) -> None:
        super().__init__("unreadable-series", "the archive's description of a series is no DICOM JSON object")


class NoSuchJobError(PermanentFault):
    """There is no job of this id."""

    def __init__(self) -> None:
        super().__init__("no-such-job", "there is no job of this id")


class NoSuchModelError(PermanentFault):
    """There is no model of this name."""

    def __init__(self) -> None:
        super().__init__("no-such-model", "there is no model of this name: GET /models lists them")


class NothingToRunError(PermanentFault):
    """The model's rule selects no series of the study."""

    def __init__(self, model: str) -> None:
        super().__init__("nothing-to-run", f"no series of the study is one that {model} takes: name the series")


class MissingInputError(PermanentFault):
    """The model takes further series, and one is not there."""

    def __init__(self, model: str, missing: Sequence[CardInput]) -> None:
        each = " and ".join(f"{one.name} ({where(one)})" for one in missing)
        names = " ".join(f"--input {one.name}=SERIES" for one in missing)
        super().__init__(
            "input-missing",
            f"{model} takes beside this series also {each}, and none is there that has settled and that its rule "
            f"selects; it runs when one comes, or choose one: {names}",
        )


_WHERE: Final = {
    InputFrom.SAME_STUDY: "of the same study",
    InputFrom.EARLIER_STUDIES: "of an earlier study of the patient",
}


def where(one: CardInput) -> str:
    """Where a further input is looked for, in words."""
    return _WHERE[one.source]


class UnfitInputError(PermanentFault):
    """A series that somebody chose for an input cannot be taken."""

    def __init__(self, reason: str) -> None:
        super().__init__("input-unfit", reason)


class JobConflictError(PermanentFault):
    """The job's state does not allow what is asked."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)


_NOT_THERE: Final = frozenset(("no-such-study", "no-such-series"))
"""What the archive says of what somebody names."""


def http_status(fault: Fault) -> int:
    """The HTTP status of a fault."""
    match fault:
        case NoSuchJobError() | NoSuchModelError():
            return 404
        case PermanentFault(code=code) if code in _NOT_THERE:
            return 404
        case JobConflictError() | NothingToRunError() | MissingInputError() | UnfitInputError():
            return 409
        case PassingFault():
            return 503
        case _:
            return 400
