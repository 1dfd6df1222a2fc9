"""Reading a QIDO-RS request (PS3.18 8.3.4 and 10.6.1): which keys match, what comes back, what is passed over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.archive.errors import InvalidQuery
from services.dicom.attributes import keyword_of, tag_of
from services.dicom.matching import AnyOf, Condition, MatchingError, Universal, parse_condition
from services.store.columns import minutes_of
from services.store.model import Level, Query
from services.store.search import SEARCHABLE, own_keywords

_TRANSPORT: Final = frozenset(("accept", "charset"))
"""Parameters that say how to answer; the edge reads them (PS3.18 8.3.3)."""
_FLAGS: Final = ("fuzzymatching", "emptyvaluematching", "multiplevaluematching")
_TIMEZONE: Final = "TimezoneOffsetFromUTC"
_DIGITS: Final = 10

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Search:
    """A query and the shape of its answer.

    Attributes:
        query: for the index; its limit is one above what is answered, to learn whether there is more.
        limit: how many are answered.
        include: further attributes that are answered, as tags; of items, as paths such as `00400275.00401001`.
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
    given = list(parameters)
    keys = _Keys(level, given)
    include: set[str] = set()
    everything = False
    limit, offset = max_results, 0
    warnings: list[str] = []
    for name, value in given:
        match name.lower():
            case "limit":
                wanted = _count(name, value)
                limit = min(wanted, max_results)
                if wanted > max_results:
                    warnings.append(f"at most {max_results} results are given at a time")
            case "offset":
                offset = _count(name, value)
            case "includefield":
                fields = [each.strip() for each in value.split(",") if each.strip()]
                paths = {each: _path(each) for each in fields if each.lower() != "all"}
                everything = everything or len(paths) < len(set(fields))
                include.update(path for path in paths.values() if path)
                if not all(paths.values()):
                    warnings.append("an includefield of an unknown name was ignored")
            case known if known in _TRANSPORT or known in _FLAGS:
                pass
            case _:
                keys.take(name, value)
    query = Query(
        level, study_instance_uid, series_instance_uid, keys.conditions, limit + 1, offset, keys.offset_from_utc
    )
    warnings += keys.warnings
    return Search(query, limit, frozenset(include | keys.answered), everything, tuple(dict.fromkeys(warnings)))


class _Keys:
    """The matching keys of a request, as they are read."""

    def __init__(self, level: Level, given: Parameters) -> None:
        flags = {name: any(_flag(name, value) for key, value in given if key.lower() == name) for name in _FLAGS}
        self._fuzzy, self._empty, self._multiple = (flags[name] for name in _FLAGS)
        self._level = level
        self.conditions: dict[str, Condition] = {}
        self.answered: set[str] = set()
        self.offset_from_utc: int | None = None
        self.warnings: list[str] = []

    def take(self, name: str, value: str) -> None:
        """Read one more."""
        path = _path(name)
        keyword = _keyword(path)
        if keyword == _TIMEZONE:
            self._take_timezone(value)
        elif keyword in SEARCHABLE[self._level]:
            condition = self._condition(keyword, value)
            self.conditions[keyword] = _joined(keyword, self.conditions.get(keyword), condition)
            if keyword in own_keywords(self._level):
                self.answered.add(path)
        elif path and _is_universal(value):
            # Nothing to match, but the attribute is to be answered, as an empty key of a C-FIND asks (PS3.4 C.2.2.1).
            self.answered.add(path)
        else:
            self.warnings.append(f"the key {keyword or 'of an unknown name'} is not supported here and was ignored")

    def _take_timezone(self, value: str) -> None:
        # A plus sign that was not encoded arrives as a space.
        text = f"+{value[1:]}" if value.startswith(" ") else value.strip()
        if _is_universal(text):
            return
        self.offset_from_utc = minutes_of(text)
        if self.offset_from_utc is None:
            raise InvalidQuery(_TIMEZONE)

    def _condition(self, keyword: str, value: str) -> Condition:
        try:
            return parse_condition(keyword, value, fuzzy=self._fuzzy, empty=self._empty, multiple=self._multiple)
        except MatchingError:
            raise InvalidQuery(keyword) from None


def _is_universal(value: str) -> bool:
    return not value.strip().strip("*")


def _count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < _DIGITS):
        raise InvalidQuery(name.lower())
    return int(value)


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", ""):
        raise InvalidQuery(name.lower())
    return value.lower() == "true"


def _path(name: str) -> str:
    """The tags of a name such as `RequestAttributesSequence.00401001`; "" when one of its parts is neither."""
    tags = [tag_of(part.strip()) for part in name.split(".")]
    return ".".join(tag for tag in tags if tag) if all(tags) else ""


def _keyword(path: str) -> str:
    """The keywords of a path of tags; "" when PS3.6 does not have one of them."""
    keywords = [keyword_of(tag) for tag in path.split(".")] if path else []
    return ".".join(keywords) if keywords and all(keywords) else ""


def _joined(keyword: str, before: Condition | None, condition: Condition) -> Condition:
    """A key that is given twice: lists add up, anything else contradicts itself."""
    match before, condition:
        case (None, _) | (Universal(), _):
            return condition
        case _, Universal():
            return before
        case AnyOf(some), AnyOf(more):
            return AnyOf((*some, *more))
        case _ if before == condition:
            return condition
        case _:
            raise InvalidQuery(keyword)
