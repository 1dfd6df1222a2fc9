"""What only shows a finding once more may be missing, and says so; what carries the finding may not."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from services.contracts.card import ResultKind
from services.contracts.events import LeftOut
from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.errors import EncodingFailed
from services.encode.model import Encoded, Kind, Task
from services.encode.plan import carries
from tests.unit.encode.kinds import SOURCES, Source, angiography, everything
from tests.unit.encode.made import PLANES, ROWS, boxes, card, measured, said

ENCODER = HighdicomEncoder(omit_empty_frames=True)


def captured() -> Source:
    """A run in a class of single frames, as old gateways send them: highdicom knows no reference to its frames."""
    source = angiography()
    ds = dcmread(BytesIO(source.files[0]))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return Source([file.getvalue()], source.frames, source.input)


def encoded(source: Source, *kinds: str) -> Encoded:
    told, arrays = everything(len(source.frames), results=kinds)
    return ENCODER.encode(source.task(told, **arrays))


def test_a_view_that_cannot_be_made_is_left_out_with_its_reason_and_all_others_are_made() -> None:
    made = encoded(captured(), "SEG", "SC", "GSPS", "KO", "PDF", "SR")
    assert {one.kind for one in made.documents} == {Kind.SEG, Kind.SC, Kind.KO, Kind.PDF, Kind.SR}
    (left,) = made.left_out
    assert (left.kind, left.reason_code) == ("GSPS", "encoding-failed")
    assert left.reason == "the GSPS cannot be built from this result and these headers (TypeError)"


def test_a_view_that_a_source_cannot_carry_is_named() -> None:
    assert encoded(SOURCES["tiled SM"](), "SEG", "GSPS", "STL").left_out == (
        LeftOut("GSPS", "not-carried", "a slide cannot carry a GSPS, so there is none"),
        LeftOut("STL", "not-carried", "a source that is no volume cannot carry a STL, so there is none"),
    )
    assert encoded(SOURCES["CT volume"](), *ResultKind).left_out == ()


def test_where_nothing_that_was_asked_for_can_be_made_the_report_has_the_finding() -> None:
    made = encoded(captured(), "GSPS")
    assert [one.kind for one in made.documents] == [Kind.SR]
    assert len(dcmread(BytesIO(made.documents[0].data)).CurrentRequestedProcedureEvidenceSequence) > 0
    assert [one.kind for one in made.left_out] == ["GSPS"]


def with_short_pixels(task: Task) -> Task:
    """The task, of pictures that end too soon."""
    pictures = {}
    for uid, data in task.pictures.items():
        ds = dcmread(BytesIO(data))
        ds.PixelData = ds.PixelData[:ROWS]
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        pictures[uid] = file.getvalue()
    return replace(task, pictures=pictures)


def test_pictures_that_cannot_be_drawn_cost_the_captures_and_not_the_page() -> None:
    told = card(results={kind: {} for kind in ("SEG", "SC", "PDF")})
    task = SOURCES["CT volume"]().task(told, labels=boxes(), measurements=measured())
    made = ENCODER.encode(with_short_pixels(task))
    assert [one.kind for one in made.documents] == [Kind.SEG, Kind.PDF]
    assert [(one.kind, one.reason_code) for one in made.left_out] == [("SC", "encoding-failed")]


def test_what_carries_the_finding_fails_the_job() -> None:
    told, arrays = everything(1, results=["SC", "SEG"])
    mapped = SOURCES["CR"]().task(told, **arrays)
    seen: dict[str, Any] = {"labels": boxes(), "measurements": measured()}
    image = said(card(), PLANES, image=boxes(), **seen)
    assert [carries(one, Kind.SC) for one in (mapped.result, image, said(card(), PLANES, **seen))] == [
        True,
        True,
        False,
    ]
    assert {kind for kind in Kind if carries(said(card(), PLANES, **seen), kind)} == {Kind.SEG, Kind.PM, Kind.SR}
    with pytest.raises(EncodingFailed, match="SC"):
        ENCODER.encode(with_short_pixels(mapped))
