"""What may go wrong between an association and ingest, and the one place where it becomes a DIMSE status.

BridgeError
├── AbandonedError     the sender went away in the middle of an instance: nobody waits for an answer
└── UndeliveredError   ingest did not take the instance: the sender may try again (A700H)

`services.bridge.model.Answer` says what each outcome is in DIMSE.
"""

from __future__ import annotations

from services.chassis.faults import Fault, PassingFault


class AbandonedError(Fault):
    """The association ended before the data set did."""

    def __init__(self) -> None:
        super().__init__("abandoned", "the sender went away before the data set was complete")


class UndeliveredError(PassingFault):
    """Ingest is away, too slow, or broke the stream off."""

    def __init__(self, code: str) -> None:
        super().__init__(code, "the archive cannot take the instance now")
