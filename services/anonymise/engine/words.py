"""Free text cleaned (PS3.15 Table E.1-1a, action C): only words that are known to be words of medicine stay.

A list of what may stay, not of what must go: a name that nobody thought of is not on it. The words are those of the
concepts that the standard and SNOMED CT use (as pydicom carries them), of the standard's own attribute names, and those
that a profile adds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from importlib.resources import files
from typing import cast

_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)?|[^\w\s]|_")
_NUMBER = re.compile(r"\d{1,3}(?:[.,]\d{1,3})?")
_DATE_OR_PHONE = re.compile(r"\+?\d+(?:[-./: ]+\d+){2,}|\d+[/:]\d+|\b\d+-\d{3,}")
_ADDRESS = re.compile(r"\S*(?:@|://|www\.)\S*")
_TITLES = frozenset(("dr", "prof", "professor", "doctor", "md", "mr", "mrs", "ms", "miss", "herr", "frau", "sir"))


@cache
def medical_words() -> frozenset[str]:
    """Words that name nobody, in lower case."""
    from pydicom.datadict import DicomDictionary  # type: ignore[attr-defined]  # there, only not declared

    seen = _listed("words-of-scanners.txt")
    for meaning in _meanings():
        # A capital within a meaning is an eponym, and so a name.
        first, *others = re.findall(r"[^\W\d_]+", meaning) or [""]
        seen.update(word for word in others if word.islower())
        if not others:
            seen.add(first.lower())
    seen.update(word.lower() for entry in DicomDictionary.values() for word in re.findall(r"[A-Za-z]{4,}", entry[2]))
    unwanted = _listed("words-that-are-names.txt") | _TITLES
    return frozenset(word for word in seen if word.isascii() and word not in unwanted)


@cache
def known_meanings() -> frozenset[bytes]:
    """The meanings of public codes, in lower case."""
    return frozenset(meaning.lower().encode() for meaning in _meanings())


def _meanings() -> Iterator[str]:
    from pydicom.sr._concepts_dict import concepts  # half a second, so only who cleans texts

    for by_keyword in concepts.values():
        for by_code in cast("dict[str, dict[str, tuple[str, list[int]]]]", by_keyword).values():
            yield from (meaning for meaning, _ in by_code.values())


def _listed(name: str) -> set[str]:
    return set((files("services.anonymise.engine") / "profiles" / name).read_text(encoding="utf-8").split())


def cleaned(text: str, more: Collection[str] = (), names: Collection[str] = ()) -> str:
    """What may stay of a text: known words and short numbers, in their order; nothing without a word.

    Args:
        more: further words that may stay, in lower case.
        names: words that may not, in lower case.
    """
    known = medical_words()
    kept: list[str] = []
    after_title = False
    for token in _TOKEN.findall(_DATE_OR_PHONE.sub(" ", _ADDRESS.sub(" ", text))):
        word = token.lower()
        if word in _TITLES:
            after_title = True
        elif token[0].isalpha():
            if not after_title and word not in names and (word in more or (word in known and word.isascii())):
                kept.append(token)
            after_title = False
        elif _NUMBER.fullmatch(token):
            kept.append(token)
    return " ".join(kept) if any(token[0].isalpha() for token in kept) else ""


def without_known(code: bytes) -> bytes:
    """What is left of a code string without the words of medicine."""
    known = medical_words()
    words = re.split(rb"[ \\_]+", code.lower())
    return b" ".join(word for word in words if word.decode("latin-1") not in known).strip()
