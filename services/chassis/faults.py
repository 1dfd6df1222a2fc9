"""What may go wrong, seen from outside a handler.

Fault                a code for programs and one sentence for people; neither holds PHI
├── PassingFault     the same may pass later: try again, with backoff
└── PermanentFault   trying again changes nothing: say so, keep the message for replay
"""

from __future__ import annotations


class Fault(Exception):
    """Something that a caller or an operator has to be told.

    Attributes:
        code: stable, for programs, such as `not-a-volume`.
        reason: one sentence for people. It is shown, logged and sent: it must hold no PHI.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class PassingFault(Fault):
    """A fault of the moment: a part that is not reachable, a time-out."""


class PermanentFault(Fault):
    """A fault of the matter itself."""
