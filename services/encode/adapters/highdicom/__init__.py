"""Documents by highdicom: what a result becomes, of the result and the headers of its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import TypeVar

import cv2
from highdicom._standard_utils import get_module_attribute_map
from pydicom import Dataset

from services.chassis import telemetry
from services.contracts.card import CardError
from services.contracts.events import LeftOut
from services.contracts.results import blending_options, segmentation_options
from services.contracts.telemetry import BYTES, INSTANCES, JOB_ID, MODEL, MODEL_VERSION, span_of_document
from services.encode.adapters.highdicom.authorship import Authorship
from services.encode.adapters.highdicom.blending import build_blending
from services.encode.adapters.highdicom.encapsulated import build_page, build_surfaces
from services.encode.adapters.highdicom.images import build_captures, draw_pictures
from services.encode.adapters.highdicom.key_objects import build_key_objects
from services.encode.adapters.highdicom.maps import build_map
from services.encode.adapters.highdicom.presentation import build_presentations
from services.encode.adapters.highdicom.report import build_report
from services.encode.adapters.highdicom.segmentation import build_segmentation
from services.encode.adapters.highdicom.source import read_sources
from services.encode.errors import EncodingFailed, NotCarried, OptionsUnusable
from services.encode.findings import findings_of, key_planes
from services.encode.model import Document, Encoded, Kind, Task
from services.encode.plan import MAX_PICTURES, carries, draws_pictures, kinds_of, pictures_of

_REFUSALS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, NotImplementedError, cv2.error)
"""What highdicom, pydicom and OpenCV raise on what they cannot put into an object; their texts may quote a header."""
_Built = Sequence[Dataset]
T = TypeVar("T")


def warm_up() -> None:
    """Read highdicom's table of the standard's modules, 22 MB of JSON, which it would read for the first document."""
    get_module_attribute_map()


class HighdicomEncoder:
    """Makes the documents of a job; see `services.encode.ports.Encoder`.

    When no voxel has a label there is no SEG (PS3.3 C.8.20.2 asks for at least one segment), no surface, no
    presentation state and no key object: the report alone says that nothing was found, even where none was asked for.
    A kind that only shows once more what others carry is left out where it cannot be made, and the others are not.
    """

    def __init__(self, *, omit_empty_frames: bool) -> None:
        self._omit_empty_frames = omit_empty_frames

    def encode(self, task: Task) -> Encoded:
        """The documents of the kinds that the result becomes, the report last; see `services.encode.ports.Encoder`."""
        findings = findings_of(task.result)
        sources = read_sources(task)
        author = Authorship.of(task, sources)
        kinds = kinds_of(task.result)
        undrawn: EncodingFailed | None = None
        try:
            pictures = self._guarded(Kind.SC, lambda: draw_pictures(task, sources, pictures_of(task.result)))
        except EncodingFailed as fault:  # the page does without pictures, the captures cannot
            pictures, undrawn = {}, fault
        left_out: list[LeftOut] = []
        made: dict[Kind, _Built] = {}
        documents: list[Document] = []

        def seg() -> _Built:
            if not any(finding.number for finding in findings):
                return ()
            asked = segmentation_options(task.result.card)
            if asked.omit_empty_frames is None:
                asked = replace(asked, omit_empty_frames=self._omit_empty_frames)
            return [build_segmentation(task, findings, sources, author, asked)]

        def captures() -> _Built:
            if undrawn is not None and draws_pictures(task.result):
                raise undrawn
            return build_captures(task, sources, pictures, author)

        def key_objects() -> _Built:
            planes = key_planes(task.result, MAX_PICTURES)
            return [build_key_objects(task, sources, planes, author)] if planes else ()

        builders: dict[Kind, Callable[[], _Built]] = {
            Kind.SEG: seg,
            Kind.PM: lambda: () if task.result.arrays.map is None else [build_map(task, sources, author)],
            Kind.SC: captures,
            Kind.GSPS: partial(build_presentations, task, findings, sources, author),
            Kind.BLEND: lambda: build_blending(
                task, sources, made[Kind.PM], author, blending_options(task.result.card)
            ),
            Kind.STL: partial(build_surfaces, task, findings, sources, author),
            Kind.KO: key_objects,
            Kind.PDF: lambda: [build_page(task, findings, sources, pictures, author)],
            Kind.SR: lambda: [build_report(task, findings, sources, made, author)],
        }
        for kind in kinds:
            try:
                made[kind], written = self._make(task, kind, builders[kind])
            except (EncodingFailed, NotCarried, OptionsUnusable) as fault:
                if carries(task.result, kind):
                    raise
                made[kind] = ()
                left_out.append(LeftOut(kind, fault.code, fault.reason))
            else:
                documents += written
        if not documents:
            documents += self._make(task, Kind.SR, builders[Kind.SR])[1]
        return Encoded(tuple(documents), tuple(left_out))

    def _make(self, task: Task, kind: Kind, build: Callable[[], _Built]) -> tuple[_Built, list[Document]]:
        card = task.result.card
        known = {JOB_ID: task.result.job_id, MODEL: card.name, MODEL_VERSION: card.version}
        with telemetry.span(span_of_document(kind), known) as span:
            built = self._guarded(kind, build)
            written = [self._guarded(kind, partial(_written, kind, ds)) for ds in built]
            span.set_attribute(INSTANCES, len(written))
            span.set_attribute(BYTES, sum(len(document.data) for document in written))
        return built, written

    def _guarded(self, kind: Kind, build: Callable[[], T]) -> T:
        try:
            return build()
        except CardError:
            raise OptionsUnusable(kind) from None
        except _REFUSALS as error:
            raise EncodingFailed(kind, type(error).__name__) from error


def _written(kind: Kind, ds: Dataset) -> Document:
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    uids = ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.SOPClassUID
    return Document(kind, *uids, file.getvalue())
