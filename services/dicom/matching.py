"""What a query key asks for, and whether a value answers it (PS3.4 C.2.2.2, PS3.18 8.3.4 and 10.6.1.2).

`matches` is the slow and obvious model; the index says the same in SQL. Person names and free text are compared
without case and accents, codes and identifiers as they are.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, assert_never

from services.dicom import uids
from services.dicom.attributes import tag_of, vr_of

FOLDED_VRS: Final = frozenset(("PN", "LO", "SH", "LT", "ST", "UC", "UT"))
"""VRs that are compared without case and accents."""

_DATE: Final = re.compile(r"\d{8}")
_TIME: Final = re.compile(r"\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?")
_DATETIME: Final = re.compile(r"\d{4}(?:\d{2}){0,5}(?:\.\d{1,6})?(?:\+\d{4})?")
_NUMERIC: Final = frozenset(("IS", "DS", "US", "SS", "UL", "SL"))
_UNMATCHABLE: Final = frozenset(("SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN", "FL", "FD", "AT"))


class MatchingError(ValueError):
    """A key whose value is not one for its attribute; says which key, never the value."""

    def __init__(self, keyword: str) -> None:
        super().__init__(f"The value of the query key {keyword} is not valid for this attribute.")
        self.keyword = keyword


@dataclass(frozen=True, slots=True)
class Universal:
    """Any value, also none (PS3.4 C.2.2.2.3)."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these values: single value matching, or a list (PS3.4 C.2.2.2.1, C.2.2.2.2)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`*` is any run of characters, `?` any one (PS3.4 C.2.2.2.4)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; "" is open (PS3.4 C.2.2.2.5)."""

    low: str
    high: str


Condition = Universal | AnyOf | Wildcard | Range


def parse_condition(keyword: str, text: str) -> Condition:
    """Reads the value of a query key by the VR of its attribute.

    Args:
        keyword: of the attribute, or its tag.
        text: the value as it came, percent-decoded.

    Raises:
        MatchingError: it is no value for this attribute.
    """
    tag = tag_of(keyword.rpartition(".")[2])
    vr = vr_of(tag) if tag else "UN"
    text = text.strip()
    if not text.strip("*"):
        return Universal()
    if vr in _UNMATCHABLE:
        raise MatchingError(keyword)
    if vr == "UI":
        values = _listed(text)
        if not all(map(uids.is_legal, values)):
            raise MatchingError(keyword)
        return AnyOf(values)
    if vr in ("DA", "TM", "DT"):
        return _moment(keyword, vr, text)
    if vr in _NUMERIC:
        return AnyOf(tuple(_number(keyword, value) for value in _listed(text)))
    if vr == "CS":
        values = tuple(value.upper() for value in _listed(text))
        if len(values) > 1 and any(map(has_wildcard, values)):
            raise MatchingError(keyword)
        return Wildcard(values[0]) if has_wildcard(values[0]) else AnyOf(values)
    return Wildcard(text) if has_wildcard(text) else AnyOf((text,))


def has_wildcard(text: str) -> bool:
    """Says whether `text` has a wildcard character."""
    return "*" in text or "?" in text


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in re.split(r"[,\\]", text))


def _moment(keyword: str, vr: str, text: str) -> Condition:
    pattern = {"DA": _DATE, "TM": _TIME, "DT": _DATETIME}[vr]
    low, hyphen, high = text.partition("-")
    for value in (low, high):
        if value and not pattern.fullmatch(value):
            raise MatchingError(keyword)
    if hyphen:
        if not low and not high:
            raise MatchingError(keyword)
        return Range(low, high)
    return AnyOf((low,))


def _number(keyword: str, text: str) -> str:
    try:
        return str(int(text))
    except ValueError:
        raise MatchingError(keyword) from None


def fold(text: str) -> str:
    """Brings text into the form in which it is searched: no case, no accents, compatible characters alike."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def like_pattern(wildcard: str) -> str:
    """Turns a wildcard into a pattern of SQL's LIKE, whose escape character is the backslash."""
    escaped = re.sub(r"([\\%_])", r"\\\1", wildcard)
    return escaped.replace("*", "%").replace("?", "_")


def matches(condition: Condition, vr: str, values: Iterable[str]) -> bool:
    """Says whether an attribute with these values (as `dicom_json.texts` gives them) answers the condition."""
    match condition:
        case Universal():
            return True
        case AnyOf(wanted):
            comparable = {_comparable(vr, value) for value in wanted}
            return any(_comparable(vr, form) in comparable for value in values for form in _forms(vr, value))
        case Wildcard(pattern):
            expression = re.compile(_regular(_comparable(vr, pattern)), re.DOTALL)
            return any(expression.fullmatch(_comparable(vr, form)) for value in values for form in _forms(vr, value))
        case Range(low, high):
            return any(_within(low, value, high) for value in values)
        case _:
            assert_never(condition)


def _forms(vr: str, value: str) -> tuple[str, ...]:
    # A person name answers as a whole or by one of its component groups (PS3.18 8.3.4.1, PS3.5 6.2.1).
    return (value, *value.split("=")) if vr == "PN" else (value,)


def _comparable(vr: str, value: str) -> str:
    value = value.rstrip("^ ") if vr == "PN" else value.strip()
    return fold(value) if vr in FOLDED_VRS else value


def _regular(wildcard: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in wildcard)


def _within(low: str, value: str, high: str) -> bool:
    # A bound that is less precise than the value covers all that begins with it.
    return bool(value) and (not low or value >= low) and (not high or value[: len(high)] <= high)
