"""Looks for what was taken out of an instance in what stays of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from services.anonymise.engine.attributes import SHORT_TEXT, STRINGS, Attribute, attribute_of
from services.anonymise.engine.elements import Element, items_of
from services.anonymise.engine.identifiers import Identifiers
from services.anonymise.engine.words import without_known

_UNSEARCHED = frozenset(("AS", "DA", "DT", "TM", "UI"))
"""What an option keeps of these stays: a newborn's study has the date of birth."""


class Kept(NamedTuple):
    """A string value that stayed."""

    path: tuple[int, ...]
    vr: str
    value: bytes


class Watch:
    """Knows what was taken out and what stayed.

    Attributes:
        identifiers: what was taken out.
    """

    def __init__(self, listed: Collection[int], suspects: frozenset[Kept], *, retains_uids: bool) -> None:
        self._listed = listed
        self._suspects = suspects
        self._retains_uids = retains_uids
        self._kept: list[Kept] = []
        self.identifiers = Identifiers()

    def gather(self, element: Element, attribute: Attribute) -> None:
        """Remember what is taken out, so that it is found where else it stands."""
        if attribute.vr == "UI" and self._retains_uids:
            return
        if attribute.vr != "SQ":
            self.identifiers.gather(attribute.vr, element.value)
            return
        for item in items_of(element) or ():
            for inner in item:
                found = attribute_of(inner.tag)
                # Only what is identifying by itself: a code within a removed sequence may stand elsewhere by right.
                if found is not None and (inner.tag in self._listed or found.vr in ("PN", "SQ")):
                    self.gather(inner, found)

    def may_stay(self, tag: int, vr: str, value: bytes, path: tuple[int, ...]) -> bool:
        """Whether no identifier was found in a text; from now on it is looked for there."""
        if not value or vr not in STRINGS or vr in _UNSEARCHED:
            return True
        kept = Kept((*path, tag), vr, value)
        if kept in self._suspects:
            return False
        self._kept.append(kept)
        return True

    def suspects(self) -> frozenset[Kept]:
        """The kept values in which an identifier stands."""
        if not self.identifiers.may_be_in(kept.value for kept in self._kept):
            return frozenset()
        return frozenset(kept for kept in self._kept if self._is_suspect(kept))

    def _is_suspect(self, kept: Kept) -> bool:
        if not self.identifiers.found_in(kept.value, is_free_text=kept.vr in SHORT_TEXT):
            return False
        # A code says what it says, though a patient be called so.
        return kept.vr != "CS" or self.identifiers.found_in(without_known(kept.value), is_free_text=False)
