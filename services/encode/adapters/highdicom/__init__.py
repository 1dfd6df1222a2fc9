"""Documents by highdicom: a Segmentation and a TID 1500 report, of a result and the headers of its source."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from pydicom import Dataset

from services.chassis import telemetry
from services.contracts.telemetry import BYTES, JOB_ID, MODEL, MODEL_VERSION, SPAN_SEG, SPAN_SR
from services.encode.adapters.highdicom.authorship import Authorship
from services.encode.adapters.highdicom.report import build_report
from services.encode.adapters.highdicom.segmentation import build_segmentation
from services.encode.adapters.highdicom.source import read_sources
from services.encode.errors import EncodingFailed
from services.encode.model import Document, Kind, Task, findings_of

_SPANS = {Kind.SEG: SPAN_SEG, Kind.SR: SPAN_SR}
_REFUSALS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, NotImplementedError)
"""What highdicom and pydicom raise on input that they cannot put into an object; their texts may quote a header."""


class HighdicomEncoder:
    """Makes the documents of a job; see `services.encode.ports.Encoder`.

    When no voxel has a label there is no SEG (PS3.3 C.8.20.2 asks for at least one segment): the report alone says
    that nothing was found.
    """

    def __init__(self, *, omit_empty_frames: bool) -> None:
        self._omit_empty_frames = omit_empty_frames

    def encode(self, task: Task) -> tuple[Document, ...]:
        """The SEG, if there is anything to segment, and the SR."""
        findings = findings_of(task.result)
        sources = read_sources(task)
        author = Authorship.of(task, sources[0])
        made: list[Document] = []
        seg: Dataset | None = None
        if any(finding.number for finding in findings):
            seg, document = self._make(
                task,
                Kind.SEG,
                lambda: build_segmentation(task, findings, sources, author, omit_empty_frames=self._omit_empty_frames),
            )
            made.append(document)
        _, document = self._make(task, Kind.SR, lambda: build_report(task, findings, sources, seg, author))
        return (*made, document)

    def _make(self, task: Task, kind: Kind, build: Callable[[], Dataset]) -> tuple[Dataset, Document]:
        card = task.result.card
        known = {JOB_ID: task.result.job_id, MODEL: card.name, MODEL_VERSION: card.version}
        with telemetry.span(_SPANS[kind], known) as span:
            try:
                ds = build()
                file = BytesIO()
                ds.save_as(file, enforce_file_format=True)
            except _REFUSALS as error:
                raise EncodingFailed(kind, type(error).__name__) from error
            data = file.getvalue()
            span.set_attribute(BYTES, len(data))
        document = Document(kind, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.SOPClassUID, data)
        return ds, document
