"""What a row can be found by, as numbers in one array with a GIN index: PostgreSQL has no trigrams of its own.

A number stands for three characters that follow one another in an attribute's text, or for a whole value of a code.
Whatever matches a key has all numbers of that key, so an index scan leaves few rows; two things may share a number, so
the condition itself is always checked on what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final
from zlib import crc32

from services.dicom.matching import fold

_BEGIN: Final = "\x02"
_END: Final = "\x03"
_WILD: Final = re.compile(r"([*?])")
RUN: Final = "\0*"
"""Any run of characters, among the pieces of a pattern. No text has a NUL."""
ONE: Final = "\0?"
"""Any one character, there."""
WILDCARDS: Final = (RUN, ONE)


@cache
def _seed(key: str) -> int:
    return crc32(f"{key}\0".encode())


def _number(key: str, text: str) -> int:
    return crc32(text.encode("utf-8", "replace"), _seed(key)) - 2**31


def whole(key: str, value: str) -> int:
    """The number of one whole value."""
    return _number(key, f"\0{value}")


def triples(key: str, text: str, *, name: bool = False) -> set[int]:
    """The numbers of a text; a person name brings its own frame."""
    framed = text if name else f"{_BEGIN}{text}{_END}"
    return {_number(key, framed[at : at + 3]) for at in range(len(framed) - 2)} if text else set()


def triples_of_pattern(key: str, pieces: Sequence[str], *, name: bool = False) -> set[int]:
    """The numbers that every text has which a pattern with wildcards matches.

    Args:
        key: of the attribute.
        pieces: of the pattern, as `pieces_of` gives them.
        name: the pattern is of one component group of a person name.
    """
    begin, end = ("=", "=") if name else (_BEGIN, _END)
    found: set[int] = set()
    for at, piece in enumerate(pieces):
        if piece in WILDCARDS:
            continue
        run = f"{begin if at == 0 else ''}{piece}{end if at == len(pieces) - 1 else ''}"
        found.update(_number(key, run[at : at + 3]) for at in range(len(run) - 2))
    return found


def pieces_of(pattern: str, *, folded: bool = True) -> list[str]:
    """A pattern's wildcards, and the text between them, folded: what folding makes of a character is no wildcard."""
    wild = {"*": RUN, "?": ONE}
    pieces = [wild.get(piece) or (fold(piece) if folded else piece) for piece in _WILD.split(pattern)]
    pieces = [piece for piece in pieces if piece]
    if folded and pieces and pieces[0] not in WILDCARDS:
        pieces[0] = pieces[0].lstrip()
    if folded and pieces and pieces[-1] not in WILDCARDS:
        pieces[-1] = pieces[-1].rstrip()
    return [piece for piece in pieces if piece]


def literal(numbers: Iterable[int]) -> str:
    """Numbers as PostgreSQL reads an array."""
    return "{" + ",".join(map(str, sorted(numbers))) + "}"
