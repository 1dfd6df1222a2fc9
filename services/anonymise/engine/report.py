"""The report of an instance: what was done to every attribute and by which rule; no values, so it holds no PHI."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag

from services.anonymise.engine.options import Option
from services.anonymise.model import Action, Because, Taken

_FIELDS = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What was done to the attributes of one instance, in the order of the walk.

    Attributes:
        text: one line an attribute: its path, the action, the rule; items are not told apart, repeated lines are one.
    """

    text: str

    @classmethod
    def of(cls, actions: Iterable[Taken]) -> Report:
        """The report of an instance's actions."""
        lines = {f"{_path(taken.path)} {taken.action.value} {taken.because.value}": None for taken in actions}
        return cls("\n".join(lines))

    @property
    def digest(self) -> str:
        """Names it: most instances of a series have the same one."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def lines(self) -> Iterator[tuple[str, Action, Because | Option]]:
        """Path, action and rule of each line."""
        for line in self.text.splitlines():
            path, action, because = line.split(" ", _FIELDS - 1)
            yield path, Action(action), rule_named(because)


def rule_named(name: str) -> Because | Option:
    """The rule of this name."""
    return Option(name) if name in _OPTIONS else Because(name)


def summed(reports: Iterable[Iterable[Taken]]) -> Counter[tuple[tuple[int, ...], Action, Because | Option]]:
    """In how many instances what was done to which attribute by which rule."""
    counts: Counter[tuple[tuple[int, ...], Action, Because | Option]] = Counter()
    for actions in reports:
        counts.update({(taken.path, taken.action, taken.because) for taken in actions})
    return counts


def name_of(tag: int) -> str:
    """A tag as people read it: its keyword, or, of a private or unknown one, its number."""
    return keyword_for_tag(tag) or _number(tag)


def _path(path: tuple[int, ...]) -> str:
    return ".".join(f"{tag:08x}" for tag in path)


def _number(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


_OPTIONS = frozenset(option.value for option in Option)
