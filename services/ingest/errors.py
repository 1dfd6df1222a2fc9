"""What may go wrong with a delivery as a whole. What is wrong with one instance is a `model.Verdict`, not an error.

PermanentFault
├── ProtocolFault        a gRPC caller sent the parts of a delivery out of order                       400
├── NotMultipart         the body cannot be taken apart                                                400
├── EmptyRequest         the body holds no instance                                                    400
├── IllegalStudy         the study that the path names is not a UID                                    400
├── IllegalUid           another part of the path is not a UID, or no digest                           400
├── DeletionOff          deletion is not allowed here                                                  403
├── NothingThere         what the path names is not here                                               404
└── UnsupportedMedia     the body is of another media type                                             415
PassingFault (of the store: `services.store.errors`)                                                   503
"""

from __future__ import annotations

from services.chassis.faults import Fault, PassingFault, PermanentFault


class ProtocolFault(PermanentFault):
    """Parts of a delivery out of order."""

    def __init__(self) -> None:
        super().__init__("delivery-out-of-order", "an instance is `begin`, its chunks, then `end`")


class NotMultipart(PermanentFault):
    """The body is not what its header says."""

    def __init__(self) -> None:
        super().__init__("not-multipart", "the body is not multipart/related with the boundary of its Content-Type")


class EmptyRequest(PermanentFault):
    """Nothing to store."""

    def __init__(self) -> None:
        super().__init__("empty-request", "the body holds no instance")


class IllegalStudy(PermanentFault):
    """The path's study."""

    def __init__(self) -> None:
        super().__init__("illegal-study", "the study in the path is not a legal UID")


class IllegalUid(PermanentFault):
    """A path."""

    def __init__(self) -> None:
        super().__init__("illegal-uid", "a UID or digest in the path is not legal")


class DeletionOff(PermanentFault):
    """A setting guards what is stored."""

    def __init__(self) -> None:
        super().__init__(
            "deletion-off", "nothing may be deleted here; an operator allows it with PLEXUS_INGEST_DELETION=true"
        )


class NothingThere(PermanentFault):
    """No such study, series, instance or evidence."""

    def __init__(self) -> None:
        super().__init__("nothing-there", "what the path names is not here")


class UnsupportedMedia(PermanentFault):
    """Another media type (PS3.18 10.5.2)."""

    def __init__(self) -> None:
        super().__init__(
            "unsupported-media-type", "send application/dicom, application/dicom+json or application/dicom+xml"
        )


def http_status(fault: Fault) -> int:
    """The HTTP status of a fault, for the chassis."""
    match fault:
        case PassingFault():
            return 503
        case UnsupportedMedia():
            return 415
        case DeletionOff():
            return 403
        case NothingThere():
            return 404
        case _:
            return 400
