"""Reading a QIDO-RS request (PS3.18 8.3.4 and 10.6.1): which keys match, what comes back, what is passed over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from services.archive.errors import InvalidQuery
from services.dicom.attributes import keyword_of, tag_of
from services.dicom.matching import AnyOf, Condition, MatchingError, Universal, parse_condition
from services.store.model import Level, Query
from services.store.search import SEARCHABLE

_NOT_KEYS: Final = frozenset(("accept", "charset", "orderby"))
"""Parameters that are no matching keys; `accept` is read by the edge (PS3.18 8.3.3.1)."""

_NO_FUZZY: Final = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
"""As PS3.18 8.3.4.2 words it."""


@dataclass(frozen=True, slots=True)
class Search:
    """A query and the shape of its answer.

    Attributes:
        query: for the index; its limit is one above what is answered, to learn whether there is more.
        limit: how many are answered.
        include: tags of further attributes that are asked for.
        everything: all attributes are asked for (`includefield=all`).
        warnings: texts for the Warning header; they name keys, never values.
    """

    query: Query
    limit: int
    include: frozenset[str] = field(default=frozenset())
    everything: bool = False
    warnings: tuple[str, ...] = ()


def parse_search(
    level: Level,
    parameters: Iterable[tuple[str, str]],
    *,
    study_instance_uid: str = "",
    series_instance_uid: str = "",
    max_results: int,
) -> Search:
    """Read the query parameters of a search.

    Raises:
        InvalidQuery: a value is not valid for its key; the fault names the key.
    """
    conditions: dict[str, Condition] = {}
    include: set[str] = set()
    everything = False
    limit, offset = max_results, 0
    warnings: list[str] = []
    for name, value in parameters:
        match name.lower():
            case "limit":
                wanted = _count(name, value)
                limit = min(wanted, max_results)
                if wanted > max_results:
                    warnings.append(f"at most {max_results} results are given at a time")
            case "offset":
                offset = _count(name, value)
            case "fuzzymatching":
                if _flag(name, value):
                    warnings.append(_NO_FUZZY)
            case "includefield":
                fields = [each.strip() for each in value.split(",")]
                everything = everything or "all" in fields
                include.update(tag for each in fields if (tag := tag_of(each.partition(".")[0])))
            case ignored if ignored in _NOT_KEYS:
                pass
            case _:
                keyword = _keyword(name)
                if keyword in SEARCHABLE[level]:
                    conditions[keyword] = _joined(keyword, conditions.get(keyword), _condition(keyword, value))
                else:
                    warnings.append(f"the key {keyword or 'of an unknown name'} is not supported here and was ignored")
    query = Query(level, study_instance_uid, series_instance_uid, conditions, limit + 1, offset)
    return Search(query, limit, frozenset(include), everything, tuple(dict.fromkeys(warnings)))


def _count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise InvalidQuery(name.lower())
    return int(value)


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", ""):
        raise InvalidQuery(name.lower())
    return value.lower() == "true"


def _keyword(name: str) -> str:
    """The keyword path of a key such as `00400275.00401001`; "" when PS3.6 does not know a part of it."""
    tags = [tag_of(part) for part in name.split(".")]
    keywords = [keyword_of(tag) if tag else "" for tag in tags]
    return ".".join(keywords) if all(keywords) else ""


def _condition(keyword: str, value: str) -> Condition:
    try:
        return parse_condition(keyword, value)
    except MatchingError:
        raise InvalidQuery(keyword) from None


def _joined(keyword: str, before: Condition | None, condition: Condition) -> Condition:
    """A key that is given twice: lists add up, anything else contradicts itself."""
    match before, condition:
        case (None, _) | (Universal(), _):
            return condition
        case AnyOf(some), AnyOf(more):
            return AnyOf((*some, *more))
        case _ if before == condition:
            return condition
        case _:
            raise InvalidQuery(keyword)
