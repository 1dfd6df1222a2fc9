"""What the edges need of the log, put together once."""

from __future__ import annotations

from dataclasses import dataclass

from services.audit.notes import Key, Signer
from services.audit.ports import Ledger, Patients, Tiles


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The ports of one log."""

    ledger: Ledger
    folder: Tiles
    signer: Signer
    patients: Patients
    witnesses: tuple[Key, ...] = ()
