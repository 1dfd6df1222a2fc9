"""The last check: none of an instance's own identifying values may stand in what is written.

The walk gathers the values that it removes or replaces. Afterwards the kept texts and the written header are searched
for them. It catches what no table can: a name typed into a kept description, an ID in a number, a mistake of our own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.anonymise.engine.attributes import STRINGS, dummies
from services.anonymise.engine.pseudonyms import is_well_known

_SHORTEST = 4
_SHORTEST_WITH_DIGITS = 6
_LONG = 8
_NAME_PARTS = re.compile(rb"[\^= \\,.]+")
_DATE = re.compile(rb"(?:18|19|20)\d{6}")
_TOKEN = re.compile(rb"[0-9a-z._-]+")
_WORD = re.compile(rb"[a-z]{4,}")
_DECIMAL = re.compile(rb"\d*\.\d+")
_DIGIT = re.compile(rb"\d")
_DUMMY_WORDS = frozenset(value.lower() for value in dummies())


class Identifiers:
    """The identifying values of one instance, lower-cased, as bytes in their own character set.

    Attributes:
        tokens: may stand nowhere as a whole token: UIDs, dates, parts of names, numbers.
        pieces: the same, of other scripts: may stand nowhere at all.
        phrases: other removed texts of several words. They may not stand in kept free text. A single word, such as a
            body part or a maker, stands in removed and kept values alike by nature.
    """

    def __init__(self) -> None:
        self.tokens: set[bytes] = set()
        self.pieces: set[bytes] = set()
        self.phrases: set[bytes] = set()

    def gather(self, vr: str, value: bytes | memoryview) -> None:
        """Remember a value that is not kept."""
        if vr not in STRINGS or not value:
            return
        text = bytes(value).strip(b"\0 ").lower()
        match vr:
            case "UI":
                self._add(uid for uid in text.split(b"\\") if len(uid) >= _LONG and not _is_public(uid))
            case "DA" | "DT":
                self._add(part[:8] for part in text.split(b"\\") if _DATE.match(part))
            case "PN":
                self._add(part for part in _NAME_PARTS.split(text) if len(part) >= _SHORTEST)
            case "TM" | "AS" | "CS" | "DS" | "IS":
                # A time of day, an age, a code or a plain number says nothing of its own where it stands by chance.
                pass
            case _:
                for part in text.split(b"\\") if vr in ("AE", "LO", "SH", "UC") else (text,):
                    self._gather_text(part.strip())

    def found_in(self, value: bytes, *, is_free_text: bool) -> bool:
        """Whether an identifier stands in a kept string value."""
        text = value.lower()
        if not self.tokens.isdisjoint(_tokens(text)) or any(piece in text for piece in self.pieces):
            return True
        return is_free_text and any(_stands_in(phrase, text) for phrase in self.phrases if phrase in text)

    def may_be_in(self, values: Iterable[bytes]) -> bool:
        """Whether any of the kept strings may hold an identifier: quick, for the usual case that none does."""
        text = b"\0".join(values).lower()
        return (
            not self.tokens.isdisjoint(_tokens(text))
            or any(piece in text for piece in self.pieces)
            or any(phrase in text for phrase in self.phrases)
        )

    def left_in_header(self, header: bytes) -> set[bytes]:
        """The long identifiers that stand anywhere in the written bytes, whatever element they are of.

        Pure digits are left to `found_in`: a date may stand in the decimals of a position.
        """
        text = header.lower()
        return {token for token in self.tokens if len(token) >= _LONG and not token.isdigit() and token in text}.union(
            piece for piece in self.pieces if piece in text
        )

    def _gather_text(self, text: bytes) -> None:
        if len(text) >= _LONG and b" " in text:
            self.phrases.add(text)
        self._add(
            token
            for token in _TOKEN.findall(text)
            if len(token) >= _SHORTEST_WITH_DIGITS
            and len(_DIGIT.findall(token)) >= _SHORTEST
            and not _DECIMAL.fullmatch(token)
        )

    def _add(self, values: Iterable[bytes]) -> None:
        for value in values:
            if value not in _DUMMY_WORDS:
                (self.tokens if _TOKEN.fullmatch(value) else self.pieces).add(value)


def _tokens(text: bytes) -> set[bytes]:
    # Twice: "smith-jones" as one ID-like token, and "smith" and "jones" as words.
    return set(_TOKEN.findall(text)).union(_WORD.findall(text))


def _stands_in(phrase: bytes, text: bytes) -> bool:
    return re.search(rb"(?<![0-9a-z])" + re.escape(phrase) + rb"(?![0-9a-z])", text) is not None


def _is_public(uid: bytes) -> bool:
    return is_well_known(uid.decode("ascii", "replace"))
