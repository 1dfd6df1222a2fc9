"""The report: Comprehensive 3D SR (PS3.3 A.35.13) by the template Measurement Report (PS3.16 TID 1500)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from services.contracts.card import Code, Label, Measurement
from services.contracts.card import Finding as ClassFinding
from services.encode.adapters.highdicom.answers import algorithm, answers
from services.encode.adapters.highdicom.authorship import PRODUCT, UNVERIFIED, Authorship
from services.encode.adapters.highdicom.regions import certainty, region_group
from services.encode.adapters.highdicom.source import Layout, Sources
from services.encode.findings import Box, Finding, boxes_of, whole_measured
from services.encode.model import Kind, Task

_LANGUAGE = sr.CodedConcept("en", "RFC5646", "English")
_MODALITIES = {
    "CT": (codes.LN.CTUnspecifiedBodyRegion, codes.cid29.ComputedTomography),
    "MR": (codes.LN.MRIUnspecifiedBodyRegion, codes.cid29.MagneticResonance),
    "PT": (codes.LN.PETUnspecifiedBodyRegion, codes.cid29.PositronEmissionTomography),
    "NM": (codes.LN.NMUnspecifiedBodyRegion, codes.cid29.NuclearMedicine),
    "US": (codes.SCT.ImagingProcedure, codes.cid29.Ultrasound),
    "CR": (codes.SCT.ImagingProcedure, codes.cid29.ComputedRadiography),
    "DX": (codes.SCT.ImagingProcedure, codes.cid29.DigitalRadiography),
    "MG": (codes.SCT.ImagingProcedure, codes.cid29.Mammography),
    "XA": (codes.SCT.ImagingProcedure, codes.cid29.XRayAngiography),
    "RF": (codes.SCT.ImagingProcedure, codes.cid29.Radiofluoroscopy),
    "SM": (codes.SCT.ImagingProcedure, codes.cid29.SlideMicroscopy),
}
"""Procedure Reported (PS3.16 CID 100) and Modality (CID 29) by (0008,0060)."""
_ANATOMY = {("123037004", "SCT"), ("91723000", "SCT"), ("T-D000A", "SRT")}
"""Categories whose finding is itself a place in the body."""
_QUALITATIVE = sr.CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
_SOURCE = sr.CodedConcept("260753009", "SCT", "Source")
_DATE = re.compile(r"[0-9]{8}")
_PRESENCE = sr.CodedConcept("705057003", "SCT", "Presence")


def build_report(
    task: Task,
    findings: Sequence[Finding],
    sources: Sources,
    made: Mapping[Kind, Sequence[Dataset]],
    author: Authorship,
) -> Dataset:
    """The SR of a job: a measurement group a label, box, class, map and image, complete, and not verified by anybody.

    Args:
        task: the job.
        findings: the labels, with what was measured of each.
        sources: the source.
        made: the other documents of the job: the groups refer to the segments of the SEG, and all are evidence.
        author: who made it.
    """
    card = task.result.card
    procedure, modality = _MODALITIES.get(sources.first.Modality, (codes.SCT.ImagingProcedure, None))
    seg = next(iter(made.get(Kind.SEG, ())), None)
    boxes = boxes_of(task.result)
    groups = [
        _group(finding, sources, seg, author) for finding in findings if finding.number is not None or not finding.boxes
    ]
    groups += [_box(box, sources, author) for box in boxes]
    if task.result.arrays.classes is not None:
        said = zip(card.classes, task.result.arrays.classes.tolist(), strict=True)
        groups += [_class(item, value, sources, author) for item, value in said]
    if not card.labels and (measured := whole_measured(task.result)):
        groups.append(_whole(measured, sources, author))
    groups += answers(made, author)
    content = sr.MeasurementReport(
        observation_context=_observer(task, author),
        procedure_reported=procedure,
        imaging_measurements=groups or None,
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(_LANGUAGE),
    )
    items = content[0].ContentSequence
    # The order of TID 1500: before the measurements, which highdicom writes even if there are none.
    items.insert(len(items) - 1, _library(sources, modality, author))
    items.append(_comments(f"{author.text(card.intended_use, 950)} {UNVERIFIED}."))
    report: Dataset = sr.Comprehensive3DSR(
        evidence=[
            *sources.instances,
            *(document for documents in made.values() for document in documents),
            *(instance for instances in sources.beside for instance in instances),
        ],
        content=content,
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=_previous(task),
        **author.of_instance(Kind.SR),
    )
    author.sign(report)
    return report


def observer(task: Task, author: Authorship) -> Any:
    """The device that observed (PS3.16 TID 1004): this installation with this model."""
    card = task.result.card
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=task.names.device(card.name, card.version),
        name=f"{PRODUCT} encode",
        manufacturer_name=PRODUCT,
        model_name=author.text(f"{card.name} {card.version}"),
        serial_number=task.names.serial,
    )
    return sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)


def _observer(task: Task, author: Authorship) -> Any:
    return sr.ObservationContext(observer_device_context=observer(task, author))


def _group(finding: Finding, sources: Sources, seg: Dataset | None, author: Authorship) -> Any:
    """A measurement group: on a segment, or, for a label without voxels, on the source alone (PS3.16 TID 1501).

    What is segmented on one picture, or on the tiles of a slide, is planar (TID 1410); all else has a volume, or goes
    on over time (TID 1411).
    """
    label = finding.label
    uid, identifier = author.tracking(label)
    kind = author.coded(label.type)
    shared = {
        "tracking_identifier": sr.TrackingIdentifier(uid=uid, identifier=identifier),
        "finding_type": kind,
        "finding_category": author.coded(label.category),
        "finding_sites": _sites(label, author),
        "algorithm_id": algorithm(author),
        "measurements": _measurements(finding.measured, author),
    }
    arrays = author.task.result.arrays
    looked_for = any(one is not None for one in (arrays.labels, arrays.probabilities, arrays.boxes))
    if finding.number is None and looked_for:
        return sr.MeasurementsAndQualitativeEvaluations(qualitative_evaluations=[_presence(there=False)], **shared)
    if seg is None or finding.number is None:
        there = [_presence(there=True)] if looked_for else None
        return sr.MeasurementsAndQualitativeEvaluations(qualitative_evaluations=there, **shared)
    segment = next(item for item in seg.SegmentSequence if item.get("TrackingUID") == uid)
    if sources.is_one_picture:
        drawn = _drawn(seg, segment.SegmentNumber, sources)
        return sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=drawn, **shared)
    referenced = sr.ReferencedSegment(
        sop_class_uid=seg.SOPClassUID,
        sop_instance_uid=seg.SOPInstanceUID,
        segment_number=segment.SegmentNumber,
        source_series=sr.SourceSeriesForSegmentation(sources.first.SeriesInstanceUID),
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=referenced, **shared)


def _drawn(seg: Dataset, number: int, sources: Sources) -> Any:
    """The frames of a segment, and those of the source that they were drawn on.

    A reference names frames or a segment, never both (PS3.3 10.3), which highdicom does: the frames of a segment are
    its own, but in a label map, where it is named by its number.
    """
    named = [groups.get("SegmentIdentificationSequence") for groups in seg.PerFrameFunctionalGroupsSequence]
    frames = [at for at, item in enumerate(named, 1) if item is None or item[0].ReferencedSegmentNumber == number]
    image, drawn_on = sources.first, None
    if sources.is_multiframe(image):
        groups = [seg.PerFrameFunctionalGroupsSequence[frame - 1] for frame in frames]
        drawn_on = [item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber for item in groups]
    source = sr.SourceImageForSegmentation(image.SOPClassUID, image.SOPInstanceUID, drawn_on)
    drawn = sr.ReferencedSegmentationFrame(seg.SOPClassUID, seg.SOPInstanceUID, frames, number, source)
    (item,) = drawn[0].ReferencedSOPSequence
    del item[("ReferencedFrameNumber" if None in named else "ReferencedSegmentNumber")]
    return drawn


def _sites(label: Label, author: Authorship) -> Any:
    """Where in the body a label is, if its finding is itself a place."""
    is_place = (label.category.code, label.category.scheme) in _ANATOMY
    return [sr.FindingSite(author.coded(label.type))] if is_place else None


def _box(box: Box, sources: Sources, author: Authorship) -> Any:
    """A group on a region, with how certain the model is of it."""
    where = box_place(box, sources)
    uid, identifier = author.tracking(box.label, where)
    shared = {
        "tracking_identifier": sr.TrackingIdentifier(uid=uid, identifier=identifier),
        "finding_type": author.coded(box.label.type),
        "finding_category": author.coded(box.label.category),
        "finding_sites": _sites(box.label, author),
        "algorithm_id": algorithm(author),
        "measurements": [certainty(box.score)],
    }
    return region_group(box, sources, shared)


def box_place(box: Box, sources: Sources) -> str:
    """Where a box is, to a millimetre or a pixel: a box found there again in a later revision is the same finding."""
    corners = np.array([box.first, box.last], np.float64)
    if sources.layout is Layout.VOLUME:
        corners = sources.to_patient(corners)
    return " ".join(str(round(value)) for value in corners.ravel().tolist())


def _class(item: ClassFinding, probability: float, sources: Sources, author: Authorship) -> Any:
    """A group for what the model may say of the whole input: present or absent, and how certain it is."""
    card = author.task.result.card
    names = author.task.names
    uid = names.finding(
        author.task.original.series_instance_uid, card.name, f"class {item.type.scheme} {item.type.code}"
    )
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=author.text(f"{item.name} ({card.name})")),
        finding_type=author.coded(item.type),
        algorithm_id=algorithm(author),
        measurements=[certainty(probability)],
        qualitative_evaluations=[_presence(there=probability >= item.threshold)],
        source_images=_images(sources),
    )


def _whole(measured: Sequence[tuple[Measurement, float]], sources: Sources, author: Authorship) -> Any:
    """A group for what was measured of the whole input (TID 1501)."""
    card = author.task.result.card
    uid = author.task.names.finding(author.task.original.series_instance_uid, card.name, "whole")
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=author.text(card.title)),
        algorithm_id=algorithm(author),
        measurements=_measurements(measured, author),
        source_images=_images(sources),
    )


def _images(sources: Sources) -> Any:
    """The source of a group on few images; that of a volume stands in the Image Library."""
    if len(sources.instances) > 1:
        return None
    first = sources.first
    return [sr.SourceImageForMeasurementGroup(first.SOPClassUID, first.SOPInstanceUID)]


def _presence(*, there: bool) -> Any:
    return sr.QualitativeEvaluation(_PRESENCE, codes.cid240.Present if there else codes.cid240.Absent)


def _measurements(measured: Sequence[tuple[Measurement, float]], author: Authorship) -> Any:
    """Measurements with their units, and with the method that the card names (TID 300)."""
    card = author.task.result.card
    told = card.source.get("measurements") or ()
    methods = {item["name"]: item["method"] for item in told if isinstance(item, Mapping) and item.get("method")}
    made = []
    for item, value in measured:
        method = methods.get(item.name)
        coded = author.coded(Code(*(str(method[key]) for key in ("code", "scheme", "meaning")))) if method else None
        quantity, unit = author.coded(item.quantity), author.coded(item.unit)
        made.append(sr.Measurement(name=quantity, value=value, unit=unit, method=coded))
    return made or None


def _library(sources: Sources, modality: Any, author: Authorship) -> Any:
    """The Image Library (TID 1600): what the source images share once, in their group, then each by its reference.

    Each further input of the job is a group of its own; the dates of their studies tell the groups apart. highdicom's
    own writes the same descriptors under each image: for a hundred slices 1 s and 400 kB more.
    """
    library = sr.ContainerContentItem(name=codes.DCM.ImageLibrary, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    dates = (str(author.kept["StudyDate"].value or ""), *(str(one[0].get("StudyDate") or "") for one in sources.beside))
    groups = [_images_of(sources.instances, modality, dates[0] if sources.beside else "")]
    for instances, date in zip(sources.beside, dates[1:], strict=True):
        groups.append(_images_of(instances, _MODALITIES.get(instances[0].Modality, (None, None))[1], date))
    library.ContentSequence = sr.ContentSequence(groups)
    return library


def _images_of(instances: Sequence[Dataset], modality: Any, date: str) -> Any:
    contains, context = sr.RelationshipTypeValues.CONTAINS, sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
    group = sr.ContainerContentItem(name=codes.DCM.ImageLibraryGroup, relationship_type=contains)
    shared: list[Any] = []
    if modality is not None:
        shared.append(sr.CodeContentItem(name=codes.DCM.Modality, value=modality, relationship_type=context))
    if _DATE.fullmatch(date):
        shared.append(sr.DateContentItem(name=codes.DCM.StudyDate, value=date, relationship_type=context))
    if frame := instances[0].get("FrameOfReferenceUID"):
        shared.append(sr.UIDRefContentItem(name=codes.DCM.FrameOfReferenceUID, value=frame, relationship_type=context))
    images = [
        sr.ImageContentItem(
            name=_SOURCE,
            referenced_sop_class_uid=ds.SOPClassUID,
            referenced_sop_instance_uid=ds.SOPInstanceUID,
            relationship_type=contains,
        )
        for ds in instances
    ]
    group.ContentSequence = sr.ContentSequence([*shared, *images])
    return group


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
    name = task.predecessors.get(Kind.SR)
    if name is None:
        return None
    ds = Dataset()
    ds.SOPClassUID = Comprehensive3DSRStorage
    ds.SOPInstanceUID = name.sop_instance_uid
    ds.SeriesInstanceUID = name.series_instance_uid
    ds.StudyInstanceUID = task.original.study_instance_uid
    return [ds]
