"""Who made a document, when, and as part of which job: what our documents have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Self

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.codedict import codes

from services.contracts.card import Code, Label
from services.encode.adapters.highdicom.source import Sources, charset_of
from services.encode.adapters.highdicom.text import fitting
from services.encode.model import Kind, Task

PRODUCT = "Plexus"
PRODUCT_VERSION = "0.1.0"
UNVERIFIED = "Made by an algorithm, not verified by a person"


@dataclass(frozen=True, slots=True)
class Authorship:
    """What the documents of one job share.

    Attributes:
        kept: what highdicom was not shown of the patient and the study.
        when: the moment of the result, in the clock of the source.
        offset: (0008,0201) of the source, or empty.
    """

    task: Task
    kept: Dataset
    charset: str | Sequence[str] | None
    when: datetime
    offset: str

    @classmethod
    def of(cls, task: Task, sources: Sources) -> Self:
        """The authorship of the job's documents."""
        source = sources.first
        offset = str(source.get("TimezoneOffsetFromUTC") or "").strip()
        zone = _zone(offset)
        when = task.result.made_at.astimezone(zone)  # without an offset: the clock of this machine
        return cls(
            task, sources.kept, charset_of(source), when.replace(tzinfo=None, microsecond=0), offset if zone else ""
        )

    def text(self, text: str, limit: int = 64) -> str:
        """`text` as our documents can hold it; 64 characters make a Long String (PS3.5 6.2)."""
        return fitting(text, self.charset, limit)

    def coded(self, concept: Code) -> Any:
        """A coded concept of the card (PS3.3 8.1)."""
        return hd.sr.CodedConcept(concept.code, concept.scheme, self.text(concept.meaning))

    @property
    def algorithm_family(self) -> Any:
        """The kind of algorithm: the card's `algorithm_family`, if it has one (PS3.16 CID 7162)."""
        told = self.task.result.card.source.get("algorithm_family")
        if isinstance(told, Mapping):
            return self.coded(Code(str(told["code"]), str(told["scheme"]), str(told["meaning"])))
        return codes.DCM.ArtificialIntelligence

    @property
    def series_description(self) -> str:
        """What a list of series shows: the result, its maker, and which try at a growing series it is."""
        card, revision = self.task.result.card, self.task.original.revision
        tail = self.text(f" - {card.name} {card.version}" + (f" (revision {revision})" if revision > 1 else ""), 50)
        return f"{self.text(card.title, 64 - len(tail) - 1)} {tail}"

    def of_instance(self, kind: Kind, number: int = 1) -> dict[str, Any]:
        """The arguments of highdicom's constructors that are the same for every kind."""
        result, names = self.task.result, self.task.names
        name = names.instance(result.job_id, kind, number)
        today: date = self.when.date()
        now: time = self.when.time()
        return {
            "series_instance_uid": name.series_instance_uid,
            "series_number": names.series_number(result.job_id, kind),
            "sop_instance_uid": name.sop_instance_uid,
            "instance_number": number,
            "manufacturer": PRODUCT,
            "manufacturer_model_name": self.text(result.card.name),
            "software_versions": [self.text(result.card.version), f"{PRODUCT} {PRODUCT_VERSION}"],
            "device_serial_number": names.serial,
            "series_description": self.series_description,
            "series_date": today,
            "series_time": now,
            # A presentation state has a date of its own.
            **({} if kind in (Kind.GSPS, Kind.BLEND) else {"content_date": today, "content_time": now}),
            # highdicom knows fewer character sets than senders use: `sign` sets the one of the source.
            "specific_character_set": None,
        }

    def of_patient(self, sources: Sources) -> dict[str, Any]:
        """The arguments of highdicom's constructors that name the study, for those that take them one by one."""
        ds = sources.first
        return {
            "study_instance_uid": ds.StudyInstanceUID,
            "patient_id": ds.PatientID,
            "patient_name": ds.PatientName,
            "patient_birth_date": ds.PatientBirthDate,
            "patient_sex": ds.PatientSex,
            "accession_number": ds.AccessionNumber,
            "study_id": ds.StudyID,
            "study_date": ds.StudyDate,
            "study_time": ds.StudyTime,
            "referring_physician_name": ds.ReferringPhysicianName,
        }

    def tracking(self, label: Label, where: str = "") -> tuple[str, str]:
        """The tracking UID and identifier of a label, or of what has the label at a place.

        They are the same in all documents of a job, and in those of each revision of its series.
        """
        model, series = self.task.result.card.name, self.task.original.series_instance_uid
        uid = self.task.names.finding(series, model, f"label {label.value} {where}".strip())
        return uid, self.text(f"{label.name} ({model})")

    def uid(self, role: str) -> str:
        """The UID of what plays `role` in the job."""
        return self.task.names.uid(self.task.result.job_id, role)

    def sign(self, ds: Dataset) -> None:
        """Say who made it, replace what highdicom makes up (the time now), and bring back what it was not shown."""
        ds.InstanceCreationDate, ds.InstanceCreationTime = self.when.strftime("%Y%m%d"), self.when.strftime("%H%M%S")
        moment = self.when.strftime("%Y%m%d%H%M%S")
        others = list(ds.get("ContributingEquipmentSequence") or [])
        for item in others[-1:]:  # highdicom's own
            item.ContributionDateTime = moment
        ds.ContributingEquipmentSequence = [*others[:-1], self._equipment(moment), *others[-1:]]
        if self.charset:
            ds.SpecificCharacterSet = self.charset
        if self.offset:
            ds.TimezoneOffsetFromUTC = self.offset
        for keyword in self.kept.dir():
            ds[keyword] = self.kept[keyword]

    def _equipment(self, moment: str) -> Dataset:
        """The model as contributing equipment (PS3.3 C.12.1.1.5): an algorithm, and nobody verified what it says.

        IHE AIR (6.5.3.1) asks for maker, name, version and a Device UID, which is another for each version: that of the
        device observer in the report.
        """
        card = self.task.result.card
        item = Dataset()
        item.PurposeOfReferenceCodeSequence = [hd.sr.CodedConcept("109102", "DCM", "Processing Equipment")]
        item.Manufacturer = self.text(card.author)
        item.ManufacturerModelName = self.text(card.name)
        item.SoftwareVersions = self.text(card.version)
        item.DeviceUID = self.task.names.device(card.name, card.version)
        item.ContributionDateTime = moment
        item.ContributionDescription = self.text(f"{UNVERIFIED}. Job {self.task.result.job_id}.", 1024)
        return item


def reference(ds: Dataset) -> Dataset:
    """A reference to an instance (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = ds.SOPClassUID
    item.ReferencedSOPInstanceUID = ds.SOPInstanceUID
    return item


def _zone(offset: str) -> timezone | None:
    """The zone of a Timezone Offset From UTC such as `+0200` (PS3.3 C.12.1.1.8)."""
    if len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdigit():
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
