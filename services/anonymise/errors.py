"""What may go wrong here. No message holds PHI: reason codes, fixed sentences, counts and tags only.

Fault (chassis)
├── PassingFault
│   ├── DatabaseUnavailableError    PostgreSQL does not answer
│   └── WorkStoreUnavailableError   the work store does not take a file
└── PermanentFault
    ├── RefusedError                this instance cannot leave; its reason says why
    │   └── DoubtfulPixelsError     not before a person has looked at its pixels
    ├── SeriesChangedError          the series is no longer the one that the job was made for
    ├── InputChangedError           the same of a series that the job takes beside it
    ├── DamagedInstanceError        the archive gave other bytes than it lists
    ├── NotReleasedError            no release of that job is known
    ├── ForeignObjectError          an object was not made of the job's input
    ├── HeldError                   a job waits for a person to look at pixels
    ├── NotQuarantinedError         no picture of that number was ever quarantined
    ├── DeviceRulesError            the table of device rules cannot be used
    ├── UnreadableRequestError      the message is no `job.requested`
    ├── ProfileError                a profile says something that it cannot mean
    └── KeyFileError                the key file is missing, too open, or no key
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from services.anonymise.burned_in.model import Finding
from services.chassis.faults import PassingFault, PermanentFault


class Reason(StrEnum):
    """Why an instance is refused."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too-large"
    TRANSFER_SYNTAX = "transfer-syntax-not-cleanable"
    SOP_CLASS = "sop-class-not-cleanable"
    DOCUMENT = "encapsulated-document"
    BURNED_IN = "burned-in-annotation"
    EMBEDDED_OVERLAY = "embedded-overlay"
    PIXEL_DATA = "pixel-data-unexpected"
    PIXELS_DOUBTFUL = "pixels-doubtful"
    REFUSED_BY_PERSON = "refused-in-quarantine"
    NOT_MASKABLE = "pixels-not-maskable"
    FACE = "face-perhaps"
    PHI_LEFT = "phi-left"

    @property
    def text(self) -> str:  # noqa: PLR0912  # a sentence for each
        """One sentence for people."""
        match self:
            case Reason.UNREADABLE:
                return "an instance is not a readable DICOM file, so nothing in it can be trusted to be clean"
            case Reason.TOO_LARGE:
                return "an instance is larger or nested deeper than this service accepts"
            case Reason.TRANSFER_SYNTAX:
                return (
                    "an instance has a transfer syntax that cannot be de-identified (video, referenced pixels, unknown)"
                )
            case Reason.SOP_CLASS:
                return "an instance is of a SOP class that the profile does not let out, or that nobody can clean"
            case Reason.DOCUMENT:
                return "an instance holds a document that nobody can look into"
            case Reason.BURNED_IN:
                return "an instance does not say that its pixels are free of burned-in text, or says that they are not"
            case Reason.EMBEDDED_OVERLAY:
                return "an instance keeps an overlay in the unused bits of its pixels"
            case Reason.PIXEL_DATA:
                return "an instance has pixel data that do not fit its rows, columns and frames"
            case Reason.PIXELS_DOUBTFUL:
                return "the pixels of an instance may show text or a face: a person has to look at them first"
            case Reason.REFUSED_BY_PERSON:
                return "a person looked at the pixels of an instance in quarantine and refused to let them out"
            case Reason.NOT_MASKABLE:
                return "the pixels of an instance cannot be decoded, so that nothing in them can be masked"
            case Reason.FACE:
                return "an instance may tell the shape of a face, and nobody can look for one in it"
            case Reason.PHI_LEFT:
                return "the last check found an identifying value in a de-identified header, which was not released"
            case _:
                assert_never(self)


class RefusedError(PermanentFault):
    """This instance cannot be de-identified."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value, reason.text)


class SeriesChangedError(PermanentFault):
    """Instances came or went after the job was made; a newer revision has its own job."""

    def __init__(self) -> None:
        super().__init__(
            "series-changed", "the series has changed since the job was made; its new revision has its own job"
        )


class InputChangedError(PermanentFault):
    """Instances of a further input came or went after the job was made."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "input-changed",
            f"the series for the input {name} has changed or is gone since the job was made; "
            "what came newly has a job of its own, for what is gone run the model again",
        )


class DamagedInstanceError(PermanentFault):
    """What the archive gave has another digest than what it lists."""

    def __init__(self) -> None:
        super().__init__("instance-damaged", "an instance came from the archive with other bytes than were stored")


class NotReleasedError(PermanentFault):
    """No release of that job is known."""

    def __init__(self) -> None:
        super().__init__("no-such-release", "no de-identified input of this job was ever released")


class ForeignObjectError(PermanentFault):
    """An object that a tool made does not belong to the study of the job's input."""

    def __init__(self) -> None:
        super().__init__("object-foreign", "an object does not belong to the study that the job's input was made of")


class UnreadableRequestError(PermanentFault):
    """Nobody can tell which job this message asks for."""

    def __init__(self) -> None:
        super().__init__("request-unreadable", "the message is no job request of ours")


class DatabaseUnavailableError(PassingFault):
    """PostgreSQL does not answer."""

    def __init__(self) -> None:
        super().__init__("database-unavailable", "the database does not answer")


class WorkStoreUnavailableError(PassingFault):
    """The work store does not take a file."""

    def __init__(self) -> None:
        super().__init__("work-store-unavailable", "the work store does not take files")


class KeyFileError(PermanentFault):
    """The key of the pseudonyms cannot be used."""

    def __init__(self, reason: str) -> None:
        super().__init__("key-file", reason)


class ProfileError(PermanentFault):
    """A profile says something that it cannot mean; the sentence names the place."""

    def __init__(self, reason: str) -> None:
        super().__init__("profile", reason)


class DoubtfulPixelsError(RefusedError):
    """A person has to look at the pixels of this instance: a job waits for that, who asks at once hears no."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(Reason.PIXELS_DOUBTFUL)
        self.finding = finding


class HeldError(PermanentFault):
    """A job whose instances a person has to look at first."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(
            Reason.PIXELS_DOUBTFUL.value, f"{len(findings)} instances wait in quarantine for a person to look at them"
        )
        self.findings = tuple(findings)


class NotQuarantinedError(PermanentFault):
    """No picture of that number was ever quarantined."""

    def __init__(self) -> None:
        super().__init__("no-such-picture", "no picture of that number was ever quarantined")


class DeviceRulesError(PermanentFault):
    """The table of device rules cannot be used; the sentence names the line."""

    def __init__(self, reason: str) -> None:
        super().__init__("device-rules", reason)
