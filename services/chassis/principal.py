"""Who asks. Every edge learns the caller here, once, and hands the frozen `Principal` to the handler."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_METADATA = {
    "plexus-subject": "subject",
    "plexus-institution": "institution",
    "plexus-proved-by": "proved_by",
    "plexus-source": "source",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, as an edge has learnt it.

    Attributes:
        subject: who: `local`, an AE title, `service:encode`, later an account.
        institution: on whose behalf.
        roles: what the caller is.
        scopes: what the caller may.
        proved_by: how we know: `local` (loopback, no accounts), `ae-title`, `service`.
        source: network address.
    """

    subject: str
    institution: str = ""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    proved_by: str = "local"
    source: str = ""

    @classmethod
    def local(cls, source: str = "") -> Self:
        """The caller on one machine without accounts."""
        return cls(subject="local", source=source)

    @classmethod
    def service(cls, name: str) -> Self:
        """A service of ours that acts on its own."""
        return cls(subject=f"service:{name}", proved_by="service")

    def to_metadata(self) -> tuple[tuple[str, str], ...]:
        """The principal as gRPC metadata; `from_metadata` gives it back, without roles and scopes."""
        return tuple((key, ascii_only(getattr(self, name))) for key, name in _METADATA.items())

    @classmethod
    def from_metadata(cls, metadata: Iterable[tuple[str, str | bytes]]) -> Self:
        """The principal that a gRPC caller of ours stated."""
        found = {_METADATA[key]: str(value) for key, value in metadata if key in _METADATA}
        return cls(**{"subject": "local", **found})  # type: ignore[arg-type]  # only the str fields are in _METADATA


def ascii_only(text: str) -> str:
    """`text` with anything that a metadata value or header cannot carry as `?`."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)
