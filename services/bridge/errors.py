"""What may go wrong between an association and ingest, and the one place where it becomes a DIMSE status.

BridgeError
├── AbandonedError     the peer went away: nobody waits for an answer
├── MalformedError     what came is no DICOM: the association is aborted
├── RefusedError       a query or retrieval cannot be done as it stands; holds its status and the attribute at fault
├── UnheldError        PermanentFault: the archive has not, or cannot give, what is asked of it
├── UnansweredError    PassingFault: the archive did not answer: the peer may try again
├── UnreachableError   PassingFault: a peer that we have to call does not answer, or we do not know where it is
└── UndeliveredError   PassingFault: ingest did not take the instance: the sender may try again (A700H)

`services.bridge.model.Answer` says what each outcome is in DIMSE.
"""

from __future__ import annotations

from services.chassis.faults import Fault, PassingFault, PermanentFault


class AbandonedError(Fault):
    """The association ended before the data set did."""

    def __init__(self) -> None:
        super().__init__("abandoned", "the sender went away before the data set was complete")


class MalformedError(PermanentFault):
    """A PDU, a fragment or a command set that PS3.7 and PS3.8 do not allow."""

    def __init__(self) -> None:
        super().__init__("malformed", "what the peer sent is not DICOM")


class UndeliveredError(PassingFault):
    """Ingest is away, too slow, or broke the stream off."""

    def __init__(self, code: str) -> None:
        super().__init__(code, "the archive cannot take the instance now")


class RefusedError(Fault):
    """An Identifier that cannot be served (PS3.4 C.4.1.1.4, C.4.2.1.5).

    Attributes:
        status: for the peer.
        offending: tag of the attribute at fault, or "".
    """

    def __init__(self, status: int, offending: str, reason: str) -> None:
        super().__init__("refused", reason)
        self.status = status
        self.offending = offending


class UnheldError(PermanentFault):
    """The archive cannot give what is asked, now or later."""


class UnansweredError(PassingFault):
    """The archive is away, or too slow."""


class UnreachableError(PassingFault):
    """A peer does not take our association, or a service our request."""

    def __init__(self, code: str, reason: str = "the peer cannot be reached, or nobody said where it is") -> None:
        super().__init__(code, reason)
