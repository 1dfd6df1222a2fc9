"""What an image of ours was also made of: the further inputs of a job, such as a prior."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
from pydicom import Dataset

from services.encode.adapters.highdicom.authorship import reference
from services.encode.adapters.highdicom.source import Sources

_PROCESSED = ("121322", "DCM", "Source image for image processing operation")
"""Of PS3.16 CID 7202."""


def note_beside(ds: Dataset, sources: Sources) -> None:
    """Name the further inputs as sources of an image: in Source Image Sequence (PS3.3 C.12.4), and with their
    series and studies in the Common Instance Reference (C.12.2).

    No frame is derived from them one by one, and they have no say in where it lies: they stand behind the source, and
    the frame of reference is the source's.
    """
    for instances in sources.beside:
        items = [_source(instance) for instance in instances]
        ds.SourceImageSequence = [*(ds.get("SourceImageSequence") or []), *items]
        series = Dataset()
        series.SeriesInstanceUID = instances[0].SeriesInstanceUID
        series.ReferencedInstanceSequence = [reference(instance) for instance in instances]
        if instances[0].StudyInstanceUID == ds.StudyInstanceUID:
            ds.ReferencedSeriesSequence = [*(ds.get("ReferencedSeriesSequence") or []), series]
        else:
            _note_study(ds, str(instances[0].StudyInstanceUID), series)


def _source(instance: Dataset) -> Dataset:
    item = reference(instance)
    item.PurposeOfReferenceCodeSequence = [hd.sr.CodedConcept(*_PROCESSED)]
    return item


def _note_study(ds: Dataset, study: str, series: Dataset) -> None:
    studies: Sequence[Dataset] = ds.get("StudiesContainingOtherReferencedInstancesSequence") or []
    for item in studies:
        if item.StudyInstanceUID == study:
            item.ReferencedSeriesSequence = [*item.ReferencedSeriesSequence, series]
            return
    other = Dataset()
    other.StudyInstanceUID = study
    other.ReferencedSeriesSequence = [series]
    ds.StudiesContainingOtherReferencedInstancesSequence = [*studies, other]
