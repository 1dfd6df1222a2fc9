"""The Key Object Selection (PS3.3 A.35.4): the images with most of what was found."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
from pydicom import Dataset

from services.encode.adapters.highdicom.authorship import UNVERIFIED, Authorship
from services.encode.adapters.highdicom.report import observer
from services.encode.adapters.highdicom.source import Sources
from services.encode.model import Kind, Task

_OF_INTEREST = hd.sr.CodedConcept("113000", "DCM", "Of Interest")


def build_key_objects(task: Task, sources: Sources, planes: Sequence[int], author: Authorship) -> Dataset:
    """The KO of a job (PS3.16 TID 2010).

    Args:
        task: the job.
        sources: its source.
        planes: the planes to select; at least one.
        author: who made it.
    """
    frames: dict[str, list[int]] = {}
    for plane in planes:
        at = sources.planes[plane]
        frames.setdefault(str(at.instance.SOPInstanceUID), []).append(at.frame)
    images = [ds for ds in sources.instances if str(ds.SOPInstanceUID) in frames]
    card = task.result.card
    content = hd.ko.KeyObjectSelection(
        document_title=_OF_INTEREST,
        referenced_objects=images,
        observer_device_context=observer(task, author),
        description=author.text(f"{card.title}. {UNVERIFIED}.", 1024),
    )
    ds: Dataset = hd.ko.KeyObjectSelectionDocument(evidence=images, content=content, **author.of_instance(Kind.KO))
    for item in ds.ContentSequence:
        for referenced in item.get("ReferencedSOPSequence") or []:
            instance = next(image for image in images if image.SOPInstanceUID == referenced.ReferencedSOPInstanceUID)
            if sources.is_multiframe(instance):
                referenced.ReferencedFrameNumber = sorted(frames[str(instance.SOPInstanceUID)])
    author.sign(ds)
    return ds
