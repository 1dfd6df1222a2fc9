"""What an association brings, what the sender is told, and who may open one: pure rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pydicom._uid_dict import UID_dictionary  # the only list of what the standard defines, retired classes included
from pydicom.uid import UID

from services.chassis.principal import Principal
from services.dicom import transfer_syntaxes

SUCCESS = 0x0000
NO_SUCH_SOP_CLASS = 0x0122
PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
COERCED = 0xB000
CANNOT_UNDERSTAND = 0xC000

_COMMENT_CHARACTERS = 64  # Error Comment (0000,0902) is LO


@dataclass(frozen=True, slots=True)
class Peer:
    """Who opened an association, as it said itself (PS3.8 9.3.2) and as the network says.

    Attributes:
        certificate: SHA-256 of the certificate that it showed and that we trust; empty when it showed none.
    """

    calling_ae_title: str
    called_ae_title: str
    address: str
    certificate: str = ""

    def principal(self) -> Principal:
        """The peer as a caller. An AE title is a claim, and is named as such; a certificate is a proof."""
        proof = f"certificate:{self.certificate}" if self.certificate else "ae-title"
        return Principal(subject=self.calling_ae_title, proved_by=proof, source=self.address)


@dataclass(frozen=True, slots=True)
class Announced:
    """What a C-STORE request says of its data set (PS3.7 9.1.1.1)."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


class Outcome(StrEnum):
    """What became of an instance."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    KEPT_FIRST = "kept-first"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Reply:
    """What ingest said of an instance."""

    outcome: Outcome
    failure_reason: int = 0
    reason_code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told: a C-STORE status (PS3.4 B.2.3, Table B.2-1; PS3.7 9.1.1.1.9) and an Error Comment."""

    status: int
    comment: str = ""

    @classmethod
    def of(cls, reply: Reply) -> Answer:
        """The status for what ingest said.

        Only what is durable now is 0000H. Other bytes under a UID that is taken are kept, but what the archive serves
        under it is not what was sent: that is the warning B000H. It is no failure, or the sender would try for ever.
        """
        comment = ": ".join(filter(None, (reply.reason_code, reply.reason)))
        if len(comment) > _COMMENT_CHARACTERS:
            comment = reply.reason_code or comment
        match reply.outcome:
            case Outcome.STORED | Outcome.UNCHANGED:
                return cls(SUCCESS)
            case Outcome.KEPT_FIRST:
                return cls(COERCED, _comment(comment or "other bytes have this UID already and are kept"))
            case Outcome.REFUSED:
                status = reply.failure_reason if is_failure(reply.failure_reason) else CANNOT_UNDERSTAND
                return cls(status, _comment(comment))
            case Outcome.UNAVAILABLE | Outcome.ABANDONED:
                status = reply.failure_reason if is_failure(reply.failure_reason) else OUT_OF_RESOURCES
                return cls(status, _comment(comment))


def is_failure(status: int) -> bool:
    """Whether `status` is of the type Failure for C-STORE (PS3.4 Table B.2-1, PS3.7 Annex C)."""
    return 0xA700 <= status <= 0xA7FF or 0xA900 <= status <= 0xA9FF or 0xC000 <= status <= 0xCFFF or status in _GENERAL


_GENERAL = frozenset({0x0105, 0x0106, 0x0110, 0x0111, 0x0115, 0x0117, 0x0119, 0x0120, 0x0122, 0x0124, 0x0210, 0x0212})


def _comment(text: str) -> str:
    return "".join(c if " " <= c <= "~" and c != "\\" else " " for c in text)[:_COMMENT_CHARACTERS].rstrip()


class Rejection(StrEnum):
    """Why an association was not accepted (PS3.8 9.3.4)."""

    CALLED_AE_TITLE = "called-ae-title"
    CALLING_AE_TITLE = "calling-ae-title"
    LIMIT = "too-many-associations"


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may open an association.

    Attributes:
        ae_title: our own.
        any_called: accept whatever the caller calls us.
        calling: the AE titles that may call; empty: any.
    """

    ae_title: str
    any_called: bool
    calling: frozenset[str]

    def rejection(self, peer: Peer) -> Rejection | None:
        """Why `peer` may not come in, or `None`."""
        if not self.any_called and peer.called_ae_title != self.ae_title:
            return Rejection.CALLED_AE_TITLE
        if self.calling and peer.calling_ae_title not in self.calling:
            return Rejection.CALLING_AE_TITLE
        return None


_NOT_OF_PATIENTS = frozenset(
    # Non-Patient Object Storage (PS3.4 GG) has no study that it could be put into, and a DICOMDIR is not an instance.
    "1.2.840.10008." + tail
    for tail in (
        *("1.3.10", "1.20.1", "1.20.2"),
        *("5.1.4.38.1", "5.1.4.39.1", "5.1.4.43.1", "5.1.4.44.1", "5.1.4.45.1"),
        *("5.1.4.1.1.200.1", "5.1.4.1.1.200.3", "5.1.4.1.1.200.7", "5.1.4.1.1.201.1"),
    )
)

_NEWER = frozenset(
    # In the standard, and not yet in pydicom's dictionary: label and height map segmentations, waveform presentations.
    "1.2.840.10008.5.1.4.1.1." + tail
    for tail in ("66.7", "66.8", "9.100.1", "9.100.2")
)

STORAGE_CLASSES = _NEWER | frozenset(
    uid
    for uid, (name, kind, *_) in UID_dictionary.items()
    if kind == "SOP Class" and "Storage" in name and uid not in _NOT_OF_PATIENTS
)
"""Every composite Storage SOP Class of the standard (PS3.4 B.5), the retired ones too."""


def is_storage(sop_class_uid: str, *, accept_unknown: bool) -> bool:
    """Whether a SOP class is one that we store.

    Args:
        sop_class_uid: the abstract syntax that the peer proposes.
        accept_unknown: take private SOP classes, and those newer than our dictionary, for Storage SOP classes.
    """
    if sop_class_uid in STORAGE_CLASSES:
        return True
    return accept_unknown and sop_class_uid not in UID_dictionary and UID(sop_class_uid).is_valid


def known_syntaxes(proposed: Iterable[str]) -> list[str]:
    """The transfer syntaxes among `proposed` that can be stored, in the order of the sender, who knows why."""
    return [uid for uid in proposed if transfer_syntaxes.lookup(uid) is not None]
