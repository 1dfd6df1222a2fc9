"""An object that a tool made of a job's input comes home whole, and nothing that was made of something else does."""

import io
from dataclasses import dataclass, field

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from services.anonymise.errors import ForeignObjectError, NotReleasedError, RefusedError
from services.anonymise.handlers.restoring import restore
from services.chassis.principal import Principal
from services.contracts.events import Action, AuditRecorded, Outcome
from tests.unit.anonymise import planted
from tests.unit.anonymise.burned_in.made import SECONDARY, instance
from tests.unit.anonymise.test_handlers import World

ENCODE = Principal.service("encode")


@dataclass
class Made:
    """A released job, and a capture that a tool made of its input."""

    world: World = field(default_factory=World)

    def capture(self, **more: object) -> bytes:
        left = pydicom.dcmread(
            io.BytesIO(next(data for key, data in self.world.work.files.items() if key.endswith("dcm")))
        )
        source = Dataset()
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = left.SOPClassUID, left.SOPInstanceUID
        common = {
            "StudyInstanceUID": left.StudyInstanceUID,
            "SeriesInstanceUID": "2.25.1",
            "SOPInstanceUID": "2.25.2",
            "PatientID": left.PatientID,
            "PatientName": "",
            "PatientIdentityRemoved": "YES",
            "SourceImageSequence": [source],
        }
        return instance(np.arange(64, dtype=np.uint8).reshape(8, 8), sop_class=SECONDARY, **{**common, **more})

    async def restored(self, data: bytes, job_id: str = "job-1") -> Dataset:
        home = await restore(job_id, data, principal=ENCODE, archive=self.world.archive, releases=self.world.releases)
        return pydicom.dcmread(io.BytesIO(home))


async def test_a_tools_object_gets_its_study_its_references_and_its_patient_back() -> None:
    made = Made()
    await made.world.release()
    home = await made.restored(made.capture())
    original = pydicom.dcmread(io.BytesIO(next(iter(made.world.archive.files.values()))))
    assert home.StudyInstanceUID == planted.STUDY
    assert (home.PatientID, home.PatientName) == (original.PatientID, original.PatientName)
    assert home.SourceImageSequence[0].ReferencedSOPInstanceUID in made.world.archive.files
    assert (home.SeriesInstanceUID, home.SOPInstanceUID) == ("2.25.1", "2.25.2")
    assert "PatientIdentityRemoved" not in home and home.PixelData == bytes(range(64))
    record = made.world.said(AuditRecorded)[-1]
    assert isinstance(record, AuditRecorded)
    assert (record.action, record.outcome, record.caller) == (Action.REIDENTIFY, Outcome.SUCCESS, "service:encode")


async def test_an_object_of_another_study_does_not_come_home() -> None:
    made = Made()
    await made.world.release()
    with pytest.raises(ForeignObjectError):
        await made.restored(made.capture(StudyInstanceUID="2.25.99"))


async def test_what_is_no_object_and_what_no_job_made_are_refused() -> None:
    made = Made()
    await made.world.release()
    with pytest.raises(RefusedError):
        await made.restored(b"nothing")
    with pytest.raises(NotReleasedError):
        await made.restored(made.capture(), "job-9")
