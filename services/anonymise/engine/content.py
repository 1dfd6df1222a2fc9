"""Texts within sequences that are cleaned or emptied as a whole: reports, annotations, acquisition contexts.

The table names the sequence and not what lies in it (PS3.15 Table E.1-1 note 7): there, no free text stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from services.anonymise.engine import words
from services.anonymise.engine.attributes import SHORT_TEXT, dummy
from services.anonymise.engine.options import Option
from services.anonymise.engine.profile import Rule, Treatment
from services.anonymise.engine.values import Values
from services.anonymise.model import Because

_CODE_PARTS = frozenset((0x00080100, 0x00080102, 0x00080103, 0x00080119))
"""Code Value, Coding Scheme Designator, Coding Scheme Version, Long Code Value."""
_CODE_MEANING, _TEXT_VALUE = 0x00080104, 0x0040A160
_WITH_A_VALUE = _CODE_PARTS | {_CODE_MEANING, _TEXT_VALUE}
"""They must not be absent where they are (type 1)."""
_CODE = re.compile(rb"[A-Za-z0-9._/{}\[\]()*%'\-]{1,16} ?")


class _Mode(Enum):
    AS_IT_IS = 0
    CLEAN = 1
    EMPTY = 2


class ContentCleaner:
    """Knows in what kind of sequence the walk is.

    Attributes:
        because: the rule that put it into that mode.
    """

    def __init__(self, values: Values) -> None:
        self._values = values
        self._mode = _Mode.AS_IT_IS
        self.because: Because | Option = Because.UNLISTED

    @contextmanager
    def entered(self, rule: Rule) -> Iterator[None]:
        """While the walk is in the items of a sequence that `rule` keeps or cleans."""
        cleans = rule.treatment is Treatment.CLEAN and self._mode is _Mode.AS_IT_IS
        with self._in(_Mode.CLEAN if cleans else self._mode, rule.because if cleans else self.because):
            yield

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """While the walk is in the items of a sequence of which only the form may stay."""
        with self._in(_Mode.EMPTY, Because.PROFILE):
            yield

    def said(self, tag: int, vr: str, value: bytes) -> bytes | None:
        """What stands for a string that the table does not name; None for nothing."""
        match self._mode:
            case _Mode.AS_IT_IS:
                return value
            case _Mode.EMPTY:
                return dummy(vr) if vr in SHORT_TEXT else value
            case _Mode.CLEAN:
                return self._cleaned(tag, vr, value)

    def _cleaned(self, tag: int, vr: str, value: bytes) -> bytes | None:
        if vr not in SHORT_TEXT or (tag in _CODE_PARTS and _CODE.fullmatch(value)):
            return value
        if tag == _CODE_MEANING and value.strip(b" \0").lower() in words.known_meanings():
            return value
        return self._values.text(vr, value) or (dummy(vr) if tag in _WITH_A_VALUE else None)

    @contextmanager
    def _in(self, mode: _Mode, because: Because | Option) -> Iterator[None]:
        before = self._mode, self.because
        self._mode, self.because = mode, because
        try:
            yield
        finally:
            self._mode, self.because = before
