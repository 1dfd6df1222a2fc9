"""Pseudonyms by keyed HMAC-SHA-256: the same original gives the same pseudonym, in every file and at any time.

Without the key nobody can go back, nor test a guess. The way back is stored by release, not computed.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]  # there, only not declared

KEY_BYTES = 32
PATIENT_ID_PREFIX = "PLX-"
DEVICE_PREFIX = "PLX"
_NEWER = frozenset(f"1.2.840.10008.5.1.4.1.1.66.{number}" for number in (7, 8))
"""Label map and height map segmentations: younger than pydicom's register."""


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """One project's pseudonyms.

    Attributes:
        key: 32 secret bytes.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")

    def uid(self, original: str) -> str:
        """A UUID-derived UID (PS3.5 B.2) of 128 keyed bits."""
        return f"2.25.{int.from_bytes(self._digest(b'uid', original)[:16], 'big')}"

    def patient_id(self, original: str) -> str:
        """A Patient ID of 80 keyed bits."""
        return PATIENT_ID_PREFIX + base64.b32encode(self._digest(b"patient", original)[:10]).decode()

    def device(self, original: str) -> str:
        """A name of a device that fits an AE title: 65 keyed bits."""
        return DEVICE_PREFIX + base64.b32encode(self._digest(b"device", original)).decode()[:13]

    def shift(self, patient: str, most: int) -> int:
        """By how many days, 1 to `most`, the dates of a patient move into the past."""
        return 1 + int.from_bytes(self._digest(b"shift", patient)[:8], "big") % most

    def of_project(self, project: str) -> Pseudonyms:
        """Those of a project: of the same key file, yet nobody can tell which of them belong together."""
        return Pseudonyms(self._digest(b"project", project)) if project else self

    @property
    def key_id(self) -> str:
        """Names the key without telling it."""
        return self._digest(b"key", "").hex()[:16]

    def _digest(self, purpose: bytes, original: str) -> bytes:
        # The purpose keeps a UID and a Patient ID of the same spelling apart.
        return hmac.digest(self.key, purpose + b"\0" + original.encode(), "sha256")


def is_well_known(uid: str) -> bool:
    """Whether the standard itself registers this UID (PS3.6 A): it names no study, patient or device."""
    return uid in UID_dictionary or uid in _NEWER
