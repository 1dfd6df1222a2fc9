"""Documents of another form in DICOM: a page to read (PS3.3 A.45.1) and surfaces to print or turn (A.85.1)."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage, EncapsulatedSTLStorage

from services.encode.adapters.highdicom.authorship import UNVERIFIED, Authorship, reference
from services.encode.adapters.highdicom.images import Pictures
from services.encode.adapters.highdicom.page import page_of
from services.encode.adapters.highdicom.source import Layout, Sources
from services.encode.errors import NotCarried
from services.encode.findings import Finding, mask_of
from services.encode.model import Kind, Task
from services.encode.surface import stl_of, surface_of

_REPORT = hd.sr.CodedConcept("18748-4", "LN", "Diagnostic Imaging Report")
_MILLIMETRES = hd.sr.CodedConcept("mm", "UCUM", "mm")


def build_page(
    task: Task, findings: Sequence[Finding], sources: Sources, pictures: Pictures, author: Authorship
) -> Dataset:
    """The Encapsulated PDF of a job: a page that a referring doctor can read."""
    data = page_of(task, findings, sources, pictures, author)
    ds = _document(Kind.PDF, sources, author)
    ds.BurnedInAnnotation = "YES"
    ds.RecognizableVisualFeatures = "NO"
    ds.ConceptNameCodeSequence = [_REPORT]
    ds.VerificationFlag = "UNVERIFIED"
    ds.SourceInstanceSequence = [reference(instance) for instance in sources.instances]
    if (before := task.predecessors.get(Kind.PDF)) is not None:
        ds.PredecessorDocumentsSequence = [_predecessor(task, before.series_instance_uid, before.sop_instance_uid)]
    _fill(ds, "application/pdf", data)
    author.sign(ds)
    return ds


def build_surfaces(
    task: Task, findings: Sequence[Finding], sources: Sources, author: Authorship
) -> list[Dataset]:  # fmt: skip
    """The Encapsulated STL of a job: one a label that has voxels, in millimetres of the patient's coordinates."""
    if sources.layout is not Layout.VOLUME:
        raise NotCarried(Kind.STL, "a source that is no volume")
    made: list[Dataset] = []
    group = author.uid("model group")
    for finding in findings:
        if finding.number is None:
            continue
        masks = [mask_of(task.result, finding.label, plane) for plane in range(len(sources.planes))]
        triangles = surface_of(np.stack([mask for mask in masks if mask is not None]))
        placed = sources.to_patient(triangles)
        steps = sources.to_patient(np.concatenate([np.zeros((1, 3)), np.eye(3)]))
        if np.linalg.det(steps[1:] - steps[0]) < 0:  # plane, row, column may be left-handed in the patient
            placed = placed[:, ::-1]
        ds = _document(Kind.STL, sources, author, len(made) + 1)
        ds.FrameOfReferenceUID = sources.first.FrameOfReferenceUID
        ds.PositionReferenceIndicator = sources.first.get("PositionReferenceIndicator")
        ds.ConceptNameCodeSequence = []
        ds.DocumentTitle = author.text(f"{finding.label.name}: {task.result.card.title}", 1024)
        ds.MeasurementUnitsCodeSequence = [_MILLIMETRES]
        ds.ModelModification = "NO"
        ds.ModelMirroring = "NO"
        ds.ModelUsageCodeSequence = [hd.sr.CodedConcept("129013", "DCM", "Planning Intent")]
        ds.ModelGroupUID = group
        ds.ContentDescription = author.text(finding.label.name)
        ds.BurnedInAnnotation = "NO"
        ds.SourceInstanceSequence = [reference(instance) for instance in sources.instances]
        ds.RecommendedDisplayCIELabValue = list(hd.color.CIELabColor.from_rgb(*finding.label.colour).value)
        ds.ReferencedSeriesSequence = [_series(sources)]
        _fill(ds, "model/stl", stl_of(placed, task.result.card.name))
        author.sign(ds)
        made.append(ds)
    return made


def _document(kind: Kind, sources: Sources, author: Authorship, number: int = 1) -> Dataset:
    uid, modality = (EncapsulatedPDFStorage, "DOC") if kind is Kind.PDF else (EncapsulatedSTLStorage, "M3D")
    ds: Dataset = hd.SOPClass(
        sop_class_uid=uid,
        modality=modality,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        **author.of_patient(sources),
        **author.of_instance(kind, number),
    )
    ds.copy_patient_and_study_information(sources.first)
    ds.ConversionType = "SYN"
    ds.AcquisitionDateTime = None
    ds.DocumentTitle = author.text(f"{author.task.result.card.title}. {UNVERIFIED}", 1024)
    return ds


def _series(sources: Sources) -> Dataset:
    """All instances of the source (Common Instance Reference, PS3.3 C.12.2)."""
    series = Dataset()
    series.SeriesInstanceUID = sources.first.SeriesInstanceUID
    series.ReferencedInstanceSequence = [reference(instance) for instance in sources.instances]
    return series


def _fill(ds: Dataset, form: str, data: bytes) -> None:
    ds.MIMETypeOfEncapsulatedDocument = form
    ds.EncapsulatedDocumentLength = len(data)
    ds.EncapsulatedDocument = data + b"\0" * (len(data) % 2)


def _predecessor(task: Task, series_instance_uid: str, sop_instance_uid: str) -> Dataset:
    instance = Dataset()
    instance.ReferencedSOPClassUID = EncapsulatedPDFStorage
    instance.ReferencedSOPInstanceUID = sop_instance_uid
    series = Dataset()
    series.SeriesInstanceUID = series_instance_uid
    series.ReferencedSOPSequence = [instance]
    study = Dataset()
    study.StudyInstanceUID = task.original.study_instance_uid
    study.ReferencedSeriesSequence = [series]
    return study
