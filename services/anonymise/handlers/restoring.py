"""Use case: bring home an object that a tool made of a job's input; nobody but this service knows where home is."""

from __future__ import annotations

import asyncio

from services.anonymise.engine.elements import read_file
from services.anonymise.engine.uids import uid_values
from services.anonymise.engine.wayback import WayBack, restored
from services.anonymise.errors import ForeignObjectError, NotReleasedError
from services.anonymise.handlers.releasing import reidentify
from services.anonymise.model import Listed
from services.anonymise.ports import Releases, SourceArchive
from services.chassis.principal import Principal

_STUDY_INSTANCE_UID = 0x0020000D


async def restore(
    job_id: str, data: bytes, *, principal: Principal, archive: SourceArchive, releases: Releases
) -> bytes:
    """The object with its original references, patient and study. Who asked is on record before anything is read.

    Raises:
        NotReleasedError: the job was never released.
        RefusedError: the object is no readable file.
        ForeignObjectError: it was made of something else.
        SeriesChangedError: the archive has the original no more.
        PassingFault: the archive or the database does not answer.
    """
    original = await reidentify(job_id, principal=principal, releases=releases)
    uids = await releases.pseudonyms(job_id)
    instance = next(iter(original.sop_instance_uids.values()), "")
    if not instance:
        raise NotReleasedError
    with archive.reading(original.study_instance_uid, original.series_instance_uid) as read:
        source = await read(Listed(instance, "", "", 0))

    def made() -> bytes:
        home = restored(data, WayBack.to(source, uids))
        studies = [uid_values(bytes(one.value)) for one in read_file(home).elements if one.tag == _STUDY_INSTANCE_UID]
        if studies != [[original.study_instance_uid]]:
            raise ForeignObjectError
        return home

    return await asyncio.to_thread(made)
