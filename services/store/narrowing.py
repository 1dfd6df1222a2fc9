"""What the index of terms can say of a condition, and whether it is worth asking.

Where few rows have the terms of a key's condition (`terms.py`), it is said twice: as terms, which the index finds, and
exactly, in a CASE, so that the planner does not multiply the two as if they had nothing to do with one another. Where
many have them, rows are read in the order of the answer until there are enough, and terms would only be in the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.dicom.matching import AllOf, AnyOf, Condition, Fuzzy, Wildcard, sound
from services.store import terms
from services.store.columns import normal
from services.store.comparing import Arguments, name_pieces
from services.store.keys import Key

_FEW: Final = 0.02
"""A share of rows that are sooner fetched one by one than met on a walk through all in their order."""
_TERMS_A_KEY: Final = 4
"""More of them leave hardly fewer rows, and each has to be read."""

_Found = tuple[str, Sequence[Any]]
"""`@>` or `&&` with numbers, or AND or OR with others of these; OR with none knows nothing."""
_UNKNOWN: Final[_Found] = ("OR", ())


def narrowed(key: Key, condition: Condition, shares: Mapping[int, float], arguments: Arguments) -> str:
    """Give SQL that few rows meet, all that meet the condition among them; "" where there is none.

    Args:
        key: of the condition.
        condition: what is asked for.
        shares: of the rows that have each of the common terms; those that are not there are rare.
        arguments: where the values go.
    """
    if key.unique and isinstance(condition, AnyOf):
        return ""
    found = _narrowed(_indexed(key, condition), shares)
    return "" if found == _UNKNOWN else _rendered(found, key.alias, arguments)


def _indexed(key: Key, condition: Condition) -> _Found:
    """What the index of terms can say of a condition."""
    match condition:
        case Fuzzy(words, literally) if key.triples:
            return ("OR", [_indexed(key, literally), ("AND", [_word(key, word) for word in words])])
        case AnyOf() | Wildcard() if key.triples:
            wanted = condition.values if isinstance(condition, AnyOf) else (condition.pattern,)
            return ("OR", [("@>", _triples(key, value)) for value in wanted])
        case AnyOf(values) if key.terms and key.source.vr != "PN":
            return ("&&", [terms.whole(key.terms, normal(key.source.vr, value)) for value in values])
        case AllOf(values) if key.terms and not key.triples and key.source.vr != "PN":
            return ("@>", [terms.whole(key.terms, normal(key.source.vr, value)) for value in values])
        case _:
            return _UNKNOWN


def _triples(key: Key, pattern: str) -> list[int]:
    if key.source.vr != "PN":
        return sorted(terms.triples_of_pattern(key.terms, terms.pieces_of(pattern)))
    pieces = name_pieces(pattern)
    several = any("=" in piece for piece in pieces)
    return [] if several else sorted(terms.triples_of_pattern(key.terms, pieces, name=True))


def _word(key: Key, word: str) -> _Found:
    """Names that have a word which begins so, or one that sounds so."""
    begins = ("@>", sorted(terms.triples_of_pattern(key.terms, [terms.RUN, word, terms.RUN], name=True)))
    heard = sound(word)
    return ("OR", [begins, ("@>", [terms.whole("sounds", f"{key.terms} {heard}")])]) if heard else begins


def _narrowed(found: _Found, shares: Mapping[int, float]) -> _Found:
    """The same with a few of the rarest terms only; `_UNKNOWN` where it would leave too many rows."""
    operator, parts = found
    match operator:
        case "@>":
            rarest = sorted(parts, key=lambda number: shares.get(number, 0.0))[:_TERMS_A_KEY]
            return ("@>", rarest) if rarest and shares.get(rarest[0], 0.0) < _FEW else _UNKNOWN
        case "&&":
            return found if parts and sum(shares.get(number, 0.0) for number in parts) < _FEW else _UNKNOWN
        case "OR":
            narrowed = [_narrowed(part, shares) for part in parts]
            return _UNKNOWN if not parts or _UNKNOWN in narrowed else ("OR", narrowed)
        case _:
            known = [each for part in parts if (each := _narrowed(part, shares)) != _UNKNOWN]
            return ("AND", known) if known else _UNKNOWN


def _rendered(found: _Found, alias: str, arguments: Arguments) -> str:
    operator, parts = found
    if operator in ("@>", "&&"):
        return f"{alias}.terms {operator} {arguments.add(parts)}::integer[]"
    return "(" + f" {operator} ".join(_rendered(part, alias, arguments) for part in parts) + ")"
