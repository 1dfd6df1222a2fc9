"""The UIDs of one instance: replaced by pseudonyms, or retained, and remembered for the way back."""

from __future__ import annotations

import re

from services.anonymise.engine.pseudonyms import Pseudonyms, is_well_known
from services.anonymise.model import Pseudonym, UidKind

STUDY_INSTANCE_UID, SOP_INSTANCE_UID = 0x0020000D, 0x00080018
_KINDS = {
    STUDY_INSTANCE_UID: UidKind.STUDY,
    0x0020000E: UidKind.SERIES,
    SOP_INSTANCE_UID: UidKind.INSTANCE,
    0x00200052: UidKind.FRAME_OF_REFERENCE,
}
_UID = re.compile(r"[0-9.]{1,64}")


class UidMap:
    """Original to pseudonym.

    Attributes:
        found: every UID that names something of the hospital's, by its original.
    """

    def __init__(self, pseudonyms: Pseudonyms, *, retains: bool) -> None:
        self._pseudonyms = pseudonyms
        self.retains = retains
        self.found: dict[str, Pseudonym] = {}

    def replaced(self, value: bytes, tag: int, path: tuple[int, ...]) -> bytes:
        """A value of VR UI with pseudonyms in it; what the standard registers stays."""
        return "\\".join(self._known(original, tag, path, retain=False) for original in uid_values(value)).encode()

    def retained(self, value: bytes, tag: int, path: tuple[int, ...]) -> bytes | None:
        """A value of VR UI that stays, so that the way back leads to itself; None if it is none."""
        originals = uid_values(value)
        if not all(_UID.fullmatch(original) for original in originals if original):
            return None
        return "\\".join(self._known(original, tag, path, retain=True) for original in originals).encode()

    def _known(self, original: str, tag: int, path: tuple[int, ...], *, retain: bool) -> str:
        if not original or is_well_known(original):
            return original
        kind = UidKind.OTHER if path else _KINDS.get(tag, UidKind.OTHER)
        found = self.found.get(original)
        uid = original if retain else found.uid if found else self._pseudonyms.uid(original)
        if found is None or kind is not UidKind.OTHER:
            # What one attribute refers to may be another one's own UID: the telling kind wins.
            self.found[original] = Pseudonym(uid, kind)
        return uid


def uid_values(value: bytes) -> list[str]:
    """The values of a UI element."""
    return [part.strip(" \0") for part in value.decode("latin-1").split("\\")]
