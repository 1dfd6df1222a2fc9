"""Answer: who saw what. That it was asked is in the log before the answer is given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.audit.errors import UnknownRecordError
from services.audit.handlers.recording import reading, record, record_reading
from services.audit.model import Entry, LogQuery
from services.audit.ports import Ledger, Patients
from services.chassis.principal import Principal

_MOST_STUDIES_TOLD = 100
"""A reading about a patient is told of each of the patient's studies, up to so many."""


@dataclass(frozen=True, slots=True)
class Page:
    """Records, newest first.

    Attributes:
        patients: the patient IDs of their studies, where they were asked for.
        next: what to ask for after this page; `None` if this is the last.
    """

    entries: Sequence[Entry]
    patients: Mapping[str, str]
    next: int | None


async def read(
    query: LogQuery, *, principal: Principal, ledger: Ledger, patients: Patients, named: bool = False
) -> Page:
    """The records that are asked for.

    Args:
        named: with the patients of their studies, as the forms for other systems have them.

    Raises:
        PassingFault: the log, or the archive that knows the patients, does not answer.
    """
    entries: Sequence[Entry] = ()
    told: tuple[str, ...] = (query.study_instance_uid,)
    if query.patient_id:
        studies = tuple(await patients.studies_of(query.patient_id, principal))
        told = studies[:_MOST_STUDIES_TOLD] or ("",)
        query = replace(query, studies=studies)
    if query.studies or not query.patient_id:
        entries = await ledger.find(query)
    names = await patients.patients_of(studies_in(entries), principal) if named else {}
    readings = [
        reading(
            principal,
            detail="patient" if query.patient_id else "records",
            study_instance_uid=study,
            series_instance_uid=query.series_instance_uid,
            job_id=query.job_id,
            instances=len(entries),
        )
        for study in told
    ]
    await record(readings, ledger=ledger)
    return Page(entries, names, entries[-1].seq if len(entries) == query.limit else None)


async def read_one(
    record_id: str, *, principal: Principal, ledger: Ledger, patients: Patients, named: bool = False
) -> tuple[Entry, Mapping[str, str]]:
    """One record, and the patient of its study.

    Raises:
        UnknownRecordError: there is none of this id.
        PassingFault: as for `read`.
    """
    entry = await found(record_id, ledger=ledger)
    names = await patients.patients_of(studies_in([entry]), principal) if named else {}
    study = entry.index.study_instance_uid
    told = [reading(principal, detail="record", study_instance_uid=study, instances=1, about=record_id)]
    await record_reading(principal, ledger=ledger, detail="record", of=told)
    return entry, names


async def found(record_id: str, *, ledger: Ledger) -> Entry:
    """The entry of a record.

    Raises:
        UnknownRecordError: there is none of this id.
    """
    entries = await ledger.find(LogQuery(record_id=record_id, limit=1))
    if not entries:
        raise UnknownRecordError
    return entries[0]


def studies_in(entries: Sequence[Entry]) -> list[str]:
    """The studies that records name, each once."""
    uids = (str(json.loads(entry.record)["study_instance_uid"]) for entry in entries if entry.record)
    return sorted({uid for uid in uids if uid})
