"""dciodvfy (Debian `dicom3tools`) finds no error in what we make: of synthetic headers and of the sample's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.model import Kind, Task
from tests.unit.encode.kinds import SOURCES, everything
from tests.unit.encode.made import (
    OBLIQUE,
    PLANES,
    STUDY,
    boxes,
    header,
    headers,
    original,
    pseudonym,
    result,
    sample_source,
    task,
)
from tests.unit.encode.test_several_inputs import PRIOR_STUDY, compared

NEEDED = pytest.mark.skipif(
    shutil.which("dciodvfy") is None and os.environ.get("CI") != "true",
    reason="dciodvfy is not here: apt-get install dicom3tools (./plexus test does it)",
)
pytestmark = NEEDED


def _errors(made: Task, folder: Path) -> dict[Kind, list[str]]:
    found = {}
    for document in HighdicomEncoder(omit_empty_frames=True).encode(made).documents:
        path = folder / f"{document.kind}.dcm"
        path.write_bytes(document.data)
        told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
        assert any(
            iod in told for iod in ("Segmentation", "Comprehensive3DSR", "ParametricMap")
        )  # it knew the IOD, so it checked it
        found[document.kind] = [line for line in told.splitlines() if line.startswith("Error")]
    return found


def test_a_report_that_only_leads_to_a_map_is_legal(tmp_path: Path) -> None:
    told, arrays = everything(PLANES)
    alone = {**told, "labels": [], "classes": [], "measurements": [], "task": "image-to-image"}
    found = _errors(SOURCES["CT volume"]().task(alone, map=arrays["map"]), tmp_path)
    assert found == {Kind.PM: [], Kind.SR: []}


CLEAN = {Kind.SEG: [], Kind.SR: []}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"orientation": OBLIQUE},
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
        {"TimezoneOffsetFromUTC": "-0330"},
        {"LossyImageCompression": "01", "LossyImageCompressionRatio": "8"},
        {"PatientID": "", "PatientName": "", "StudyID": "", "AccessionNumber": "", "PatientSex": ""},
    ],
)
def test_documents_of_a_synthetic_source_have_no_error(changed: dict[str, Any], tmp_path: Path) -> None:
    assert _errors(task(source=headers(**changed)), tmp_path) == CLEAN


def test_a_label_without_voxels_makes_no_error(tmp_path: Path) -> None:
    assert _errors(task(result(boxes(right=0))), tmp_path) == CLEAN


def test_nothing_found_makes_no_error(tmp_path: Path) -> None:
    nothing = result(np.zeros_like(boxes()), np.full((2, 2), np.nan, np.float32))
    assert _errors(task(nothing), tmp_path) == {Kind.SR: []}


def test_a_report_that_replaces_another_has_no_error(tmp_path: Path) -> None:
    made = task()
    again = task(
        original=original(revision=2, supersedes="a"), predecessors={Kind.SR: made.names.instance("a", Kind.SR)}
    )
    assert _errors(again, tmp_path) == CLEAN


def test_documents_of_the_sample_have_no_error(sample: Path, tmp_path: Path) -> None:
    from io import BytesIO

    slices = sample_source(sample)
    source = []
    for ds in slices:
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        source.append(file.getvalue())
    labels = np.zeros((len(slices), 512, 512), np.uint8)
    labels[10:90, 150:350, 60:220] = 1
    labels[12:80, 150:350, 290:450] = 2
    uids = {pseudonym(plane): ds.SOPInstanceUID for plane, ds in enumerate(slices)}
    known = original(
        study_instance_uid=slices[0].StudyInstanceUID,
        series_instance_uid=slices[0].SeriesInstanceUID,
        sop_instance_uids=uids,
    )
    assert _errors(task(result(labels), source, original=known), tmp_path) == CLEAN


def test_a_single_slice_makes_no_error(tmp_path: Path) -> None:
    assert _errors(task(result(boxes()[3:4], frames=[pseudonym(3)]), [header(3)]), tmp_path) == CLEAN


def test_a_prior_beside_the_source_makes_no_error(tmp_path: Path) -> None:
    for study in (PRIOR_STUDY, STUDY):
        assert _errors(compared(study), tmp_path) == CLEAN | {Kind.PM: []}
