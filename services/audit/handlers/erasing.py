"""Erase what records say. The tree keeps the commitments; a record of its own tells of each erasure, and stays."""

from __future__ import annotations

from dataclasses import replace

from services.audit import model
from services.audit.handlers.recording import reading
from services.audit.model import LogQuery
from services.audit.ports import Ledger, Patients
from services.chassis.principal import Principal
from services.contracts.events import Action

_BATCH = 1000


async def erase(query: LogQuery, *, principal: Principal, ledger: Ledger, patients: Patients) -> int:
    """Erase the content of the records that are asked for; gives of how many.

    What tells of an erasure is not erased.

    Raises:
        PassingFault: the log, or the archive that knows the patients, does not answer.
    """
    query = replace(query, after=0, limit=_BATCH)
    if query.patient_id:
        query = replace(query, studies=tuple(await patients.studies_of(query.patient_id, principal)))
        if not query.studies:
            return 0
    count = 0
    while True:
        entries = await ledger.find(query)
        told = {}
        for entry in entries:
            if entry.record is not None and entry.index.action != Action.AUDIT_ERASE:
                about = entry.index.record_id
                telling = reading(principal, detail="erase", action=Action.AUDIT_ERASE, instances=1, about=about)
                told[about] = model.canonical(telling)
        if told:
            count += await ledger.erase(told)
        if len(entries) < _BATCH:
            return count
        query = replace(query, after=entries[-1].seq)
