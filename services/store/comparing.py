"""The values of an attribute in their normal form (`columns.normal`), compared with a condition, as SQL.

Values travel as arguments, never in the statement. tests/integration/test_store_search.py compares what is found with a
slow, obvious model of PS3.4 C.2.2.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, assert_never

from services.dicom.matching import (
    FOLDED_VRS,
    AllOf,
    AnyOf,
    Condition,
    Empty,
    Fuzzy,
    Range,
    Universal,
    Wildcard,
    has_wildcard,
    sound,
)
from services.store.columns import name_column, normal
from services.store.terms import ONE, RUN, WILDCARDS, pieces_of

_BYTEWISE: Final = '{} COLLATE "C"'
_INT64: Final = range(-(2**63), 2**63)
_WORD_BEGIN: Final = r"(^|[\s^=,.*?'-])"
"""What parts words in `matching.words_of`."""


class Arguments:
    """The arguments of a statement, as they are added."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def add(self, value: object) -> str:
        """Add one; gives its place in the statement, such as `$3`."""
        self.values.append(value)
        return f"${len(self.values)}"


class Shape(Enum):
    """How the values of an attribute lie in a row."""

    TEXT = auto()
    """One text, "" for none."""
    NUMBER = auto()
    """One integer, NULL for none."""
    ARRAY = auto()
    """An array of texts, indexed."""
    JSON = auto()
    """A JSON array of strings, NULL for none."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the values of an attribute are.

    Attributes:
        expression: a column, or a path into one.
        vr: of the attribute.
        shape: how they lie there.
        sounds: where what its words sound like is, as `<keyword> <sound>`; for names.
        keyword: of the attribute.
    """

    expression: str
    vr: str
    shape: Shape = Shape.TEXT
    sounds: str = ""
    keyword: str = ""


def compared(source: Source, condition: Condition, arguments: Arguments) -> str:
    """Give SQL that says whether the values meet the condition."""
    match condition:
        case Universal():
            return "TRUE"
        case Empty():
            return _empty(source)
        case AllOf(values):
            return "(" + " AND ".join(compared(source, AnyOf((value,)), arguments) for value in values) + ")"
        case Fuzzy(words, literally):
            heard = " AND ".join(_word(source, word, arguments) for word in words)
            return f"({compared(source, literally, arguments)} OR ({heard}))"
        case AnyOf(values) if source.shape is Shape.NUMBER:
            numbers = [int(value) for value in values if value.lstrip("-").isdigit() and int(value) in _INT64]
            return f"{source.expression} = ANY({arguments.add(numbers)}::bigint[])"
        case AnyOf(values) if source.shape is Shape.ARRAY:
            return f"{source.expression} && {arguments.add(_normals(source.vr, values))}::text[]"
        case AnyOf() | Wildcard() | Range():
            return _exists(source, lambda value: _meets(value, source.vr, condition, arguments))
        case _:
            assert_never(condition)


def _empty(source: Source) -> str:
    match source.shape:
        case Shape.TEXT:
            return f"{source.expression} = ''"
        case Shape.NUMBER:
            return f"{source.expression} IS NULL"
        case Shape.ARRAY:
            return f"cardinality({source.expression}) = 0"
        case Shape.JSON:
            return f"{source.expression} IS NULL"
        case _:
            assert_never(source.shape)


def _exists(source: Source, meets: Callable[[str], str]) -> str:
    """At least one value meets a predicate."""
    match source.shape:
        case Shape.TEXT:
            return f"({source.expression} <> '' AND {meets(source.expression)})"
        case Shape.NUMBER:
            return f"({source.expression} IS NOT NULL AND {meets(f'{source.expression}::text')})"
        case Shape.ARRAY:
            return f"EXISTS (SELECT FROM unnest({source.expression}) AS v WHERE {meets('v')})"
        case Shape.JSON:
            texts = f"jsonb_array_elements_text({source.expression}) AS v"
            return f"EXISTS (SELECT FROM {texts} WHERE {meets(_BYTEWISE.format('v'))})"
        case _:
            assert_never(source.shape)


def _meets(value: str, vr: str, condition: AnyOf | Wildcard | Range, arguments: Arguments) -> str:
    match condition:
        case AnyOf(values) if vr == "PN":
            return "(" + " OR ".join(_name(value, wanted, arguments) for wanted in values) + ")"
        case AnyOf(values):
            return f"{value} = ANY({arguments.add(_normals(vr, values))}::text[])"
        case Wildcard(pattern) if vr == "PN":
            return _name(value, pattern, arguments)
        case Wildcard(pattern):
            return f"{value} LIKE {arguments.add(_like(pieces_of(pattern, folded=vr in FOLDED_VRS)))}"
        case Range(low, high):
            # `~` comes after every digit: a bound covers all that begins with it.
            bounds = [f"{value} >= {arguments.add(low)}"] if low else []
            bounds += [f"{value} <= {arguments.add(high + '~')}"] if high else []
            return "(" + " AND ".join(bounds) + ")"
        case _:
            assert_never(condition)


def _normals(vr: str, values: Iterable[str]) -> list[str]:
    return [made for value in values if (made := normal(vr, value))]


def _like(pieces: Iterable[str]) -> str:
    wild = {RUN: "%", ONE: "_"}
    return "".join(wild.get(piece) or re.sub(r"([\\%_])", r"\\\1", piece) for piece in pieces)


def _name(value: str, pattern: str, arguments: Arguments) -> str:
    """A person name answers by one of its component groups, or as a whole where the key has several of them.

    The groups lie between `=` (see `columns.name_column`).
    """
    if not has_wildcard(pattern):
        framed = name_column(pattern)
        if not framed:
            return "FALSE"
        if "=" in framed[1:-1]:
            return f"{value} = {arguments.add(framed)}"
        return f"{value} LIKE {arguments.add('%' + _like([framed]) + '%')}"
    pieces = name_pieces(pattern)
    if any("=" in piece for piece in pieces):
        return f"{value} LIKE {arguments.add(_like(['=', *pieces, '=']))}"
    inner = [piece for piece in pieces if piece != RUN]
    if len(inner) == 1 and inner[0] != ONE:
        # What most people ask: the beginning, the end or the middle of a name.
        begin, end = ("" if pieces[0] == RUN else "="), ("" if pieces[-1] == RUN else "=")
        return f"{value} LIKE {arguments.add('%' + _like([begin + inner[0] + end]) + '%')}"
    wild = {RUN: "[^=]*", ONE: "[^=]"}
    group = "".join(wild.get(piece) or re.escape(piece) for piece in pieces)
    return f"{value} ~ {arguments.add(f'={group}=')}"


def name_pieces(pattern: str) -> list[str]:
    """The pieces of a pattern of a name, without what is left out at the end of a name."""
    pieces = pieces_of(pattern)
    if pieces and pieces[-1] not in WILDCARDS:
        pieces[-1] = pieces[-1].rstrip("^ ")
    return [piece for piece in pieces if piece]


def _word(source: Source, word: str, arguments: Arguments) -> str:
    begins = arguments.add(_WORD_BEGIN + re.escape(word))
    found = _exists(source, lambda value: f"{value} ~ {begins}")
    heard = sound(word)
    if not heard or not source.sounds:
        return found
    return f"({found} OR {source.sounds} ? {arguments.add(f'{source.keyword} {heard}')})"
