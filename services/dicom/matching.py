"""What a query key asks for (PS3.4 C.2.2.2, PS3.18 8.3.4): reading its value by the VR of its attribute.

`services.store.search` finds what answers it. Person names and free text are compared without case and accents, codes
and identifiers as they are.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.dicom import uids
from services.dicom.attributes import tag_of, vr_of

FOLDED_VRS: Final = frozenset(("PN", "LO", "SH", "LT", "ST", "UC", "UT"))
"""VRs that are compared without case and accents."""
NUMERIC_VRS: Final = frozenset(("IS", "DS", "US", "SS", "UL", "SL", "UV", "SV"))
UNMATCHABLE_VRS: Final = frozenset(("SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN", "FL", "FD", "AT"))

_DATE: Final = re.compile(r"(\d{4})(\.?)(\d{2})\2(\d{2})", re.ASCII)
_TIME: Final = re.compile(r"(\d{2})(?:(:?)(\d{2})(?:\2(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DATETIME: Final = re.compile(r"\d{4}(?:\d{2}){0,5}(?:\.\d{1,6})?(?:[+]\d{4})?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,18}(?:\.\d{0,16})?(?:[Ee][+-]?\d{1,2})?", re.ASCII)
_LISTED_VRS: Final = frozenset(("AE", "AS", "CS", "LO", "PN", "SH", "UC"))
"""VRs to which multiple value matching applies (PS3.4 C.2.2.2.8)."""
_WORDS: Final = re.compile(r"[\s^=,.*?'-]+")
_LETTERS: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}
)
_SOUNDS: Final = {
    letter: digit
    for digit, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), start=1)
    for letter in letters
}


class MatchingError(ValueError):
    """A key whose value is not one for its attribute; says which key, never the value."""

    def __init__(self, keyword: str) -> None:
        super().__init__(f"The value of the query key {keyword} is not valid for this attribute.")
        self.keyword = keyword


@dataclass(frozen=True, slots=True)
class Universal:
    """Any value, also none (PS3.4 C.2.2.2.3)."""


@dataclass(frozen=True, slots=True)
class Empty:
    """No value (PS3.4 C.2.2.2.7)."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these values: single value matching, or a list (PS3.4 C.2.2.2.1, C.2.2.2.2)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these values, in any order (PS3.4 C.2.2.2.8)."""

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


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """A person name by its words (PS3.4 C.2.2.2.1.1), or as `literally` has it.

    Attributes:
        words: folded; each must begin a word of the name, or sound like one (`sound`), wherever it stands.
    """

    words: tuple[str, ...]
    literally: AnyOf | Wildcard


Condition = Universal | Empty | AnyOf | AllOf | Wildcard | Range | Fuzzy


def parse_condition(
    keyword: str, text: str, *, fuzzy: bool = False, empty: bool = False, multiple: bool = False
) -> Condition:
    r"""Reads the value of a query key by the VR of its attribute.

    Args:
        keyword: of the attribute, or its tag; of an attribute of an item, with the path to it.
        text: the value as it came, percent-decoded.
        fuzzy: fuzzy semantic matching of person names was asked for.
        empty: two quotation marks ask for what has no value.
        multiple: values that are listed with `\` have to be there all.

    Raises:
        MatchingError: it is no value for this attribute.
    """
    tag = tag_of(keyword.rpartition(".")[2])
    vr = vr_of(tag) if tag else "UN"
    text = text.replace("\0", "").strip()
    if not text.strip("*"):
        return Universal()
    if empty and text == '""' and vr != "UN":
        return Empty()
    if vr in UNMATCHABLE_VRS:
        raise MatchingError(keyword)
    if multiple and vr in _LISTED_VRS and "\\" in text:
        values = tuple(part.strip() for part in text.split("\\"))
        if not all(values) or any(map(has_wildcard, values)):
            raise MatchingError(keyword)
        return AllOf(values)
    if vr == "UI":
        values = _listed(text)
        if not all(map(uids.is_legal, values)):
            raise MatchingError(keyword)
        return AnyOf(values)
    if vr in ("DA", "TM", "DT"):
        return _moment(keyword, vr, text)
    if vr in NUMERIC_VRS:
        return AnyOf(tuple(_number(keyword, value) for value in _listed(text)))
    if vr == "CS":
        values = tuple(value.upper() for value in _listed(text))
        if not all(values) or (len(values) > 1 and any(map(has_wildcard, values))):
            raise MatchingError(keyword)
        return Wildcard(values[0]) if has_wildcard(values[0]) else AnyOf(values)
    literal = Wildcard(text) if has_wildcard(text) else AnyOf((text,))
    words = words_of(text) if fuzzy and vr == "PN" else ()
    return Fuzzy(words, literal) if words else literal


def has_wildcard(text: str) -> bool:
    """Says whether `text` has a wildcard character."""
    return "*" in text or "?" in text


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in re.split(r"[,\\]", text))


def _moment(keyword: str, vr: str, text: str) -> Condition:
    normal = {"DA": normal_date, "TM": normal_bound, "DT": _normal_datetime}[vr]
    low, hyphen, high = (part.strip() for part in text.partition("-"))
    bounds = [normal(value) for value in (low, high) if value]
    if not bounds or not all(bounds):
        raise MatchingError(keyword)
    if hyphen:
        return Range(bounds[0] if low else "", bounds[-1] if high else "")
    return AnyOf((bounds[0],))


def normal_date(text: str) -> str:
    """A date as `YYYYMMDD`, also from the form of old with points (PS3.5 6.2); "" where it is none."""
    found = _DATE.fullmatch(text)
    if not found:
        return ""
    try:
        date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        return ""
    return f"{found[1]}{found[3]}{found[4]}"


def normal_bound(text: str) -> str:
    """A time as `HHMMSS.FFFFFF`, as far as it goes; also from the form of old with colons. "" where it is none."""
    found = _TIME.fullmatch(text)
    if not found or int(found[1]) > 23 or int(found[3] or 0) > 59 or int(found[4] or 0) > 60:
        return ""
    fraction = f".{found[5]}" if found[5] else ""
    return f"{found[1]}{found[3] or ''}{found[4] or ''}{fraction}"


def normal_time(text: str) -> str:
    """A time as `HHMMSS.FFFFFF`, what is left out being zero; "" where it is none."""
    bound, _, fraction = normal_bound(text).partition(".")
    return f"{bound:0<6}.{fraction:0<6}" if bound else ""


def _normal_datetime(text: str) -> str:
    return text if _DATETIME.fullmatch(text) else ""


def _number(keyword: str, text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise MatchingError(keyword)
    return normal_number(text)


def normal_number(text: str) -> str:
    """A number in one spelling; "" where it is none."""
    try:
        return str(int(text)) if "." not in text and "e" not in text.lower() else _normal_decimal(float(text))
    except (ValueError, OverflowError):
        return ""


def _normal_decimal(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def fold(text: str) -> str:
    """Brings text into the form in which it is searched: no case, no accents, compatible characters alike."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).casefold()
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", bare.translate(_LETTERS))


def words_of(text: str) -> tuple[str, ...]:
    """The folded words of a person name or of what is asked of one."""
    return tuple(dict.fromkeys(word for word in _WORDS.split(fold(text)) if word))


def sound(word: str) -> str:
    """What a folded word in Latin letters sounds like (American Soundex); "" for others and for less than two letters.

    Examples:
        `meyer`, `meier` and `maier` all give `m600`.
    """
    if len(word) < 2 or not (word.isascii() and word.isalpha()):
        return ""
    digits, last = "", _SOUNDS.get(word[0])
    for letter in word[1:]:
        digit = _SOUNDS.get(letter)
        if digit and digit != last:
            digits += str(digit)
        if letter not in "hw":  # these do not part what they stand between
            last = digit
    return f"{word[0]}{digits:0<3}"[:4]
