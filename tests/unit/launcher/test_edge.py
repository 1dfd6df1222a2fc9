"""What the edge's answers become."""

from __future__ import annotations

import pytest

from services.launcher.commands.status import jobs, without
from services.launcher.edge import Job, JobState, first_part
from services.launcher.errors import EdgeError

JOB = {
    "id": "j1",
    "model": "ct-lung",
    "model_version": "1.0.0",
    "state": "failed",
    "step": "infer",
    "done": 1,
    "total": 2,
    "reason_code": "model-error",
    "reason": "The model failed.",
    "study_instance_uid": "1.2",
    "series_instance_uid": "1.2.3",
    "revision": 1,
    "supersedes": None,
    "trace_id": "ab",
    "requested_at": "2026-11-21T00:00:00Z",
    "finished_at": None,
    "results": [{"kind": "SR", "study_instance_uid": "1", "series_instance_uid": "2", "sop_instance_uid": "3"}],
}


def test_a_job_is_read() -> None:
    job = Job.read(JOB)
    assert job.state is JobState.FAILED
    assert job.state.ended
    assert job.finished_at == ""
    assert job.results[0].sop_instance_uid == "3"


def test_what_a_job_could_not_make_beside_its_results_is_told_with_its_reason() -> None:
    left_out = [{"kind": "GSPS", "reason_code": "not-carried", "reason": "a slide cannot carry it"}]
    done = Job.read({**JOB, "state": "completed", "reason_code": "", "reason": "", "left_out": left_out})
    assert without(done) == "without GSPS: a slide cannot carry it"
    assert jobs([done]).columns[-1].header == "reason"


@pytest.mark.parametrize("broken", [{}, {**JOB, "state": "odd"}, {**JOB, "results": [{}]}, {**JOB, "total": "x"}])
def test_what_is_no_job_is_an_error(broken: dict[str, object]) -> None:
    with pytest.raises(EdgeError):
        Job.read(broken)


@pytest.mark.parametrize("boundary", ["b", '"b"'])
def test_the_first_part_of_a_multipart_answer_is_found(boundary: str) -> None:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n\x00bytes\r\n--b\r\n\r\nsecond\r\n--b--\r\n"
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    assert first_part(body, kind) == b"DICM\r\n\x00bytes"


@pytest.mark.parametrize("kind", ["application/dicom", "multipart/related; boundary=x", ""])
def test_an_answer_that_is_not_multipart_is_an_error(kind: str) -> None:
    with pytest.raises(EdgeError):
        first_part(b"DICM", kind)
