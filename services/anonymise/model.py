"""The words of de-identification: actions, codes of PS3.15 Table E.1-1, and what an instance becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from services.anonymise.engine.options import Option


class Code(StrEnum):
    """An action code of PS3.15 Table E.1-1 as printed; a compound one is resolved by the attribute's type."""

    D = "D"
    Z = "Z"
    X = "X"
    U = "U"
    Z_D = "Z/D"
    X_Z = "X/Z"
    X_D = "X/D"
    X_Z_D = "X/Z/D"
    X_Z_U = "X/Z/U*"


class Action(StrEnum):
    """What is done to one data element (PS3.15 E.3, Table E.1-1a)."""

    KEEP = "K"
    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    CLEAN = "C"


class Because(StrEnum):
    """By which rule an action was taken."""

    PROFILE = "table-e1-1"
    BEYOND = "beyond-table"  # our own row, where the table is silent
    SITE = "site"  # the profile of this site says so
    UNLISTED = "unlisted"  # in the standard's dictionary, not in the table: it stays
    DOCUMENT = "document"  # an encapsulated document: the profile says what becomes of it
    PRIVATE = "private"
    UNKNOWN = "unknown"  # not in the standard's dictionary, or retired
    GROUP = "group"  # group length, command, file-set, curve and overlay groups
    NOT_NEEDED = "not-needed"  # not among what models need, and nothing else is let out by this profile
    NATURE = "identifying-vr"  # names, dates, times, addresses: removed even where the table forgot them
    OPAQUE = "opaque"  # bytes that nobody can look into
    VALUE = "malformed-value"  # its value does not fit its VR or multiplicity
    IDENTIFIER = "identifier-inside"  # a value that was removed elsewhere stands in it
    MARK = "mark"  # written by us: PatientIdentityRemoved and its like


class UidKind(StrEnum):
    """What an original UID names."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"
    FRAME_OF_REFERENCE = "frame-of-reference"
    OTHER = "other"


class Taken(NamedTuple):
    """One line of an instance's report: tags only, so it holds no PHI.

    Attributes:
        path: tags from the root to the element; items are not told apart.
        because: the rule, or the option of the profile that has a say here.
    """

    path: tuple[int, ...]
    action: Action
    because: Because | Option


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """What stands for an original UID, and what that names."""

    uid: str
    kind: UidKind


@dataclass(frozen=True, slots=True)
class DeidentifiedInstance:
    """An instance that may leave.

    Attributes:
        sop_instance_uid: its pseudonymous SOP Instance UID.
        parts: the complete PS3.10 file in pieces; the pixels are those of the original, not copied.
        uids: original UID to pseudonym, for the way back. PHI: keep it in the hospital zone.
        actions: what was done to every element, in order of the walk.
    """

    sop_instance_uid: str
    parts: tuple[bytes | memoryview, ...]
    uids: Mapping[str, Pseudonym]
    actions: tuple[Taken, ...]

    @property
    def data(self) -> bytes:
        """The complete PS3.10 file, in one piece."""
        return b"".join(self.parts)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(len(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Listed:
    """An instance as the archive lists it."""

    sop_instance_uid: str
    sop_class_uid: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A series as the archive lists it, and the digest of its instance set."""

    digest: str
    instances: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class ReleasedInput:
    """A series that was let out beside the job's own.

    Attributes:
        name: of the model card's input.
        sop_instance_uids: the originals.
    """

    name: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """What was let out for a job, in the words of the hospital zone.

    Attributes:
        input: key of the manifest in the work store.
        instances: of all series.
        key_id: names the pseudonyms' key without telling it.
        inputs: the series beside the job's own.
    """

    job_id: str
    attempt: int
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    series_digest: str
    supersedes: str
    model: str
    model_version: str
    input: str
    instances: int
    profile: str
    key_id: str
    inputs: tuple[ReleasedInput, ...] = ()


@dataclass(frozen=True, slots=True)
class Original:
    """The way back: what a job's pseudonyms stand for.

    Attributes:
        sop_instance_uids: pseudonymous to original SOP Instance UID of every instance of the series that was let out.
        inputs: what was let out beside it.
    """

    study_instance_uid: str
    series_instance_uid: str
    revision: int
    supersedes: str
    sop_instance_uids: Mapping[str, str]
    inputs: tuple[ReleasedInput, ...] = ()
