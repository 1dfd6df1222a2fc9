"""Event reports: what those who have subscribed are told of a work item (PS3.4 CC.2.4, Table CC.2.4-1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from services.dicom.attributes import tag_of
from services.dicom.dicom_json import DicomJson
from services.worklist.ups.building import element, values
from services.worklist.ups.item import WorkItem
from services.worklist.ups.table import SOP_CLASS


class EventType(IntEnum):
    """Event Type ID (0000,1002)."""

    STATE = 1
    CANCEL_REQUESTED = 2
    PROGRESS = 3
    SERVER_STATUS = 4
    ASSIGNED = 5


@dataclass(frozen=True, slots=True)
class Report:
    """An event of a work item."""

    uid: str
    type: EventType
    attributes: DicomJson

    @property
    def message(self) -> DicomJson:
        """The data set of a notification (PS3.18 8.10.5): the report with what names it (PS3.7 Table 10.3-1)."""
        return {
            "00000002": element("UI", SOP_CLASS),
            "00001000": element("UI", self.uid),
            "00001002": element("US", int(self.type)),
            **self.attributes,
        }


def _tags(*keywords: str) -> tuple[str, ...]:
    return tuple(filter(None, map(tag_of, keywords)))


_STATE: Final = _tags("InputReadinessState", "ProcedureStepState")
_PROGRESS: Final = _tags("ProcedureStepProgressInformationSequence")
_ASSIGNED: Final = _tags("ScheduledStationNameCodeSequence")
_HUMANS: Final = _tags("ScheduledHumanPerformersSequence")
_PERFORMER: Final = _tags("HumanPerformerCodeSequence", "HumanPerformerOrganization")
_ENDED: Final = _tags("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence")
_CANCEL: Final = (*_ENDED, *_tags("ContactURI", "ContactDisplayName"))


def state_report(item: WorkItem) -> Report:
    """How the work item stands; of one that is cancelled, why."""
    information: DicomJson = next(iter(values(item.attributes, _PROGRESS[0])), {})
    return Report(item.uid, EventType.STATE, _of(information, _ENDED) | _of(item.attributes, _STATE))


def created(item: WorkItem) -> Iterator[Report]:
    """What is told of a new work item."""
    yield state_report(item)
    if assigned := _assignment(item):
        yield Report(item.uid, EventType.ASSIGNED, assigned)


def between(before: WorkItem, after: WorkItem) -> Iterator[Report]:
    """What is told of a change (PS3.4 CC.2.4.3)."""
    if _of(before.attributes, _STATE) != _of(after.attributes, _STATE):
        yield state_report(after)
    progress = _of(after.attributes, _PROGRESS)
    if progress != _of(before.attributes, _PROGRESS) and not after.state.final:
        yield Report(after.uid, EventType.PROGRESS, progress)
    if (assigned := _assignment(after)) and assigned != _assignment(before):
        yield Report(after.uid, EventType.ASSIGNED, assigned)


def cancel_requested(item: WorkItem, requester: str, given: DicomJson) -> Report:
    """Somebody wants it to end: who, and what they say."""
    asked = {"00741236": element("AE", requester), **_of(given, _CANCEL)}
    return Report(item.uid, EventType.CANCEL_REQUESTED, asked)


def server_status(status: str) -> DicomJson:
    """SCP Status Change: RESTARTED or GOING DOWN; lists are kept, always (PS3.4 CC.2.4.3)."""
    report = Report(
        "1.2.840.10008.5.1.4.34.5",
        EventType.SERVER_STATUS,
        {
            "00741242": element("CS", status),
            "00741244": element("CS", "WARM START"),
            "00741246": element("CS", "WARM START"),
        },
    )
    return report.message


def _assignment(item: WorkItem) -> DicomJson:
    found = {tag: each for tag, each in _of(item.attributes, _ASSIGNED).items() if each.get("Value")}
    for human in values(item.attributes, _HUMANS[0])[:1]:
        found |= _of(human, _PERFORMER)
    return found


def _of(attributes: DicomJson, tags: tuple[str, ...]) -> DicomJson:
    return {tag: attributes[tag] for tag in tags if tag in attributes}
