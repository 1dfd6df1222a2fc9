"""The report: Comprehensive 3D SR (PS3.3 A.35.13) by the template Measurement Report (PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from services.contracts.card import Measurement
from services.encode.adapters.highdicom.authorship import PRODUCT, Authorship
from services.encode.model import Finding, Kind, Task

_LANGUAGE = sr.CodedConcept("en", "RFC5646", "English")
_MODALITIES = {
    "CT": (codes.LN.CTUnspecifiedBodyRegion, codes.cid29.ComputedTomography),
    "MR": (codes.LN.MRIUnspecifiedBodyRegion, codes.cid29.MagneticResonance),
    "PT": (codes.LN.PETUnspecifiedBodyRegion, codes.cid29.PositronEmissionTomography),
    "NM": (codes.LN.NMUnspecifiedBodyRegion, codes.cid29.NuclearMedicine),
}
"""Procedure Reported (PS3.16 CID 100) and Modality (CID 29) by (0008,0060)."""
_ANATOMY = {("123037004", "SCT"), ("91723000", "SCT"), ("T-D000A", "SRT")}
"""Categories whose finding is itself a place in the body."""
_QUALITATIVE = sr.CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
_SOURCE = sr.CodedConcept("260753009", "SCT", "Source")
_PRESENCE = sr.CodedConcept("705057003", "SCT", "Presence")


def build_report(
    task: Task, findings: Sequence[Finding], sources: Sequence[Dataset], seg: Dataset | None, author: Authorship
) -> Dataset:
    """The SR of a job: one measurement group a label, complete, and not verified by anybody.

    Args:
        task: the job.
        findings: the labels, with what was measured of each.
        sources: the source data sets.
        seg: the SEG whose segments the groups refer to; None when nothing was found.
        author: who made it.
    """
    card = task.result.card
    procedure, modality = _MODALITIES.get(sources[0].Modality, (codes.SCT.ImagingProcedure, None))
    content = sr.MeasurementReport(
        observation_context=_observer(task, author),
        procedure_reported=procedure,
        imaging_measurements=[_group(finding, sources, seg, author) for finding in findings],
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(_LANGUAGE),
    )
    items = content[0].ContentSequence
    items.insert(len(items) - 1, _library(sources, modality))  # the order of TID 1500: before the measurements
    items.append(_comments(author.text(card.intended_use, 1024)))
    report: Dataset = sr.Comprehensive3DSR(
        evidence=[*sources, *([] if seg is None else [seg])],
        content=content,
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=_previous(task),
        **author.of_instance(Kind.SR),
    )
    author.sign(report)
    return report


def _observer(task: Task, author: Authorship) -> Any:
    """The device that observed (PS3.16 TID 1004): this installation with this model."""
    card = task.result.card
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=task.names.device(card.name, card.version),
        name=f"{PRODUCT} encode",
        manufacturer_name=PRODUCT,
        model_name=author.text(f"{card.name} {card.version}"),
        serial_number=task.names.serial,
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _group(finding: Finding, sources: Sequence[Dataset], seg: Dataset | None, author: Authorship) -> Any:
    """A measurement group: on a segment (TID 1411), or, for a label without voxels, on the source alone (TID 1501)."""
    label = finding.label
    uid, identifier = author.tracking(label)
    kind = author.coded(label.type)
    shared = {
        "tracking_identifier": sr.TrackingIdentifier(uid=uid, identifier=identifier),
        "finding_type": kind,
        "finding_category": author.coded(label.category),
        "finding_sites": ([sr.FindingSite(kind)] if (label.category.code, label.category.scheme) in _ANATOMY else None),
        "algorithm_id": _algorithm(author),
        "measurements": [_measurement(item, value, author) for item, value in finding.measured] or None,
    }
    if seg is None or finding.number is None:
        absent = sr.QualitativeEvaluation(_PRESENCE, codes.cid240.Absent)
        return sr.MeasurementsAndQualitativeEvaluations(qualitative_evaluations=[absent], **shared)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=finding.number,
            source_series=sr.SourceSeriesForSegmentation(sources[0].SeriesInstanceUID),
        ),
        **shared,
    )


def _measurement(item: Measurement, value: float, author: Authorship) -> Any:
    return sr.Measurement(
        name=author.coded(item.quantity),
        value=value,
        unit=author.coded(item.unit),
    )


def _algorithm(author: Authorship) -> Any:
    card = author.task.result.card
    return sr.AlgorithmIdentification(name=author.text(card.name), version=author.text(card.version))


def _library(sources: Sequence[Dataset], modality: Any) -> Any:
    """The Image Library (TID 1600): what the source images share once, in their group, then each by its reference.

    highdicom's own writes the same descriptors under each image: for a hundred slices 1 s and 400 kB more.
    """
    contains, context = sr.RelationshipTypeValues.CONTAINS, sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
    library = sr.ContainerContentItem(name=codes.DCM.ImageLibrary, relationship_type=contains)
    group = sr.ContainerContentItem(name=codes.DCM.ImageLibraryGroup, relationship_type=contains)
    shared: list[Any] = []
    if modality is not None:
        shared.append(sr.CodeContentItem(name=codes.DCM.Modality, value=modality, relationship_type=context))
    frame = sources[0].FrameOfReferenceUID
    shared.append(sr.UIDRefContentItem(name=codes.DCM.FrameOfReferenceUID, value=frame, relationship_type=context))
    images = [
        sr.ImageContentItem(
            name=_SOURCE,
            referenced_sop_class_uid=ds.SOPClassUID,
            referenced_sop_instance_uid=ds.SOPInstanceUID,
            relationship_type=contains,
        )
        for ds in sources
    ]
    group.ContentSequence = sr.ContentSequence([*shared, *images])
    library.ContentSequence = sr.ContentSequence([group])
    return library


def _comments(text: str) -> Any:
    """The container Qualitative Evaluations of TID 1500, with the intended use as a comment."""
    container = sr.ContainerContentItem(name=_QUALITATIVE, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    comment = sr.TextContentItem(
        name=codes.DCM.Comment, value=text, relationship_type=sr.RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = sr.ContentSequence([comment])
    return container


def _previous(task: Task) -> list[Dataset] | None:
    """What Predecessor Documents Sequence says (PS3.3 C.17.2)."""
    if task.predecessor is None:
        return None
    ds = Dataset()
    ds.SOPClassUID = Comprehensive3DSRStorage
    ds.SOPInstanceUID = task.predecessor.sop_instance_uid
    ds.SeriesInstanceUID = task.predecessor.series_instance_uid
    ds.StudyInstanceUID = task.original.study_instance_uid
    return [ds]
