"""What is wrong is refused with a status and a reason; nothing of it is stored, nothing crashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread

from tests.mesh import Site
from tests.studies import Study, make_study

_MULTIPART = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}


def _body(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def _post(site: Site, data: bytes, headers: dict[str, str] | None = None, study: str = "") -> httpx.Response:
    path = f"/dicom-web/studies/{study}".rstrip("/")
    return site.http.post(path, content=data, headers={"Accept": "application/dicom+json", **(headers or _MULTIPART)})


def _damaged(path: Path, tmp_path: Path, **changes: Any) -> bytes:
    ds = dcmread(path)
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    out = tmp_path / "damaged.dcm"
    ds.save_as(out, enforce_file_format=False)
    return out.read_bytes()


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("not DICOM", 409),
        ("truncated", 409),
        ("no study UID", 409),
        ("a UID with illegal characters", 409),
        ("a SOP class that the file meta information does not say", 409),
        ("a body without parts", 400),
        ("an empty body", 400),
        ("a body that is not multipart", 415),
    ],
)
def test_a_bad_store_request_gets_a_status_and_a_reason(
    site: Site, study: Study, tmp_path: Path, what: str, status: int
) -> None:
    path = sorted(study.folder.glob("*.dcm"))[0]
    good = path.read_bytes()
    headers = None
    match what:
        case "not DICOM":
            data = _body(b"GIF89a" + bytes(2000))
        case "truncated":
            data = _body(good[: len(good) // 2])
        case "no study UID":
            data = _body(_damaged(path, tmp_path, StudyInstanceUID=None))
        case "a UID with illegal characters":
            data = _body(_damaged(path, tmp_path, SeriesInstanceUID="1.2.x/../3"))
        case "a SOP class that the file meta information does not say":
            data = _body(_damaged(path, tmp_path, SOPClassUID="1.2.840.10008.5.1.4.1.1.4"))
        case "a body without parts":
            data = b"--b--\r\n"
        case "an empty body":
            data = b""
        case _:
            data, headers = good, {"Content-Type": "application/octet-stream"}
    reply = _post(site, data, headers)
    assert reply.status_code == status, reply.text
    if status == 409:
        # What names itself is in the Failed SOP Sequence, what does not in the Other Failures Sequence (PS3.18 10.5.3).
        (failed,) = reply.json()["0008119A" if what == "not DICOM" else "00081198"]["Value"]
        assert failed["00081197"]["Value"][0] != 0
        assert len(failed["00000902"]["Value"][0]) > 20
    else:
        assert reply.json()["detail"]
    found = site.http.get("/dicom-web/studies", params={"StudyInstanceUID": study.study_instance_uid})
    assert (found.status_code, found.content) == (204, b"")


def test_one_bad_part_does_not_cost_the_good_one(site: Site, study: Study) -> None:
    good = sorted(study.folder.glob("*.dcm"))[0].read_bytes()
    reply = _post(site, _body(good, b"not DICOM"))
    assert reply.status_code == 202
    assert len(reply.json()["00081199"]["Value"]) == 1
    assert len(reply.json()["0008119A"]["Value"]) == 1


def test_a_study_that_the_path_does_not_name_is_refused(site: Site, study: Study) -> None:
    good = sorted(study.folder.glob("*.dcm"))[0].read_bytes()
    assert _post(site, _body(good), study="1.2.3").status_code == 409


def test_a_series_that_is_not_a_volume_ends_as_a_failed_job_with_a_reason(
    site: Site, sample: Path, tmp_path: Path
) -> None:
    study = make_study(sample, tmp_path / "gap", seed="a gap", shrink=4)
    for path in sorted(study.folder.glob("*.dcm"))[10:16]:
        path.unlink()
    assert site.storescu(study.folder).returncode == 0
    job = site.finished(study.study_instance_uid)
    assert job["state"] == "failed"
    assert job["reason_code"]
    assert len(job["reason"]) > 20
    assert job["step"] == "assemble"
