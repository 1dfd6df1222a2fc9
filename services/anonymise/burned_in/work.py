"""What a worker process can be asked to do: a closed list, by name; its module is imported there and nowhere else."""

from __future__ import annotations

from enum import StrEnum
from struct import Struct
from typing import Final


class Work(StrEnum):
    """The functions `(parameters: bytes, data: Sequence[bytes]) -> bytes` of `examining` and `defacing.working`."""

    EXAMINE = "examine"
    PREVIEW = "preview"
    SURVEY = "survey"
    DEFACE = "deface"


class Refusal(StrEnum):
    """Why a worker does not answer."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too-large"
    NO_READER = "no-reader"
    LOST = "lost"


class WorkRefused(Exception):
    """A worker gave no answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


HEAD: Final = Struct("<II")
"""Of a question: how many parts it has, and the seconds of a processor's time that it may take."""
LENGTH: Final = Struct("<Q")
ANSWER: Final = Struct("<BQ")
"""Whether it went well, and the length of what follows: the answer, or a refusal."""
READY: Final = b"!"
"""What a worker says when its imports are done."""
