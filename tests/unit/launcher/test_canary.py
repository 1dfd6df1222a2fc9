"""Canaries are found wherever they sit, and nothing else is taken for one."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
from pathlib import Path

import pytest
from pydicom import dcmread

from services.launcher.canary import places
from services.launcher.canary.canaries import Canaries, find
from services.launcher.canary.planting import studies


@pytest.fixture
def canaries() -> Canaries:
    return Canaries(417)


@pytest.mark.parametrize(
    "dressed",
    [
        pytest.param(lambda text: text.encode(), id="as it is"),
        pytest.param(lambda text: text.lower().encode(), id="in small letters"),
        pytest.param(lambda text: text.encode("utf-16-le"), id="UTF-16, little endian"),
        pytest.param(lambda text: text.encode("utf-16-be"), id="UTF-16, big endian"),
        pytest.param(lambda text: text.encode().hex().encode(), id="hexadecimal"),
        *(
            pytest.param(
                lambda text, n=n: base64.b64encode(b"x" * n + text.encode() + b"tail"), id=f"base64, {n} before"
            )
            for n in range(4)
        ),
    ],
)
def test_a_text_is_found_in_any_clothes(canaries: Canaries, dressed: object) -> None:
    text = canaries.text("here")
    data = b"\x00\x01 before " + dressed(text) + b" after "  # type: ignore[operator]  # of the parameters
    assert [sung.partition(",")[0] for sung in find(data, canaries)] == ["here"]


@pytest.mark.parametrize("vr", ["LO", "CS", "PN", "UI", "DS", "IS", "DA", "DT", "UN"])
def test_a_value_of_any_kind_is_found(canaries: Canaries, vr: str) -> None:
    value = canaries.value(vr, "here")
    data = value if isinstance(value, bytes) else str(value).encode()
    assert set(find(b'{"x":"' + data + b'"}', canaries)) == {"here"}


def test_what_was_not_planted_is_no_canary(canaries: Canaries) -> None:
    canaries.text("here")
    other = Canaries(418).text("there").encode()
    assert list(find(other + b" 18991231 2.25.7310467999999999999 1973104670 ZQ7X", canaries)) == []


def test_archives_are_looked_into(canaries: Canaries, tmp_path: Path) -> None:
    text = canaries.text("here").encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", text * 50)
    (tmp_path / "a.npz").write_bytes(packed.getvalue())
    (tmp_path / "b.gz").write_bytes(gzip.compress(text * 50))
    where = [name for name, data in places.files(tmp_path) if list(find(data, canaries))]
    assert where == [f"{tmp_path}/a.npz:inner", f"{tmp_path}/b.gz, unpacked"]


def test_what_is_planted_is_really_in_the_files(canaries: Canaries, sample: Path, tmp_path: Path) -> None:
    chest, others = studies(sample, tmp_path, canaries)
    assert chest.modelled and not others.modelled
    sung: set[str] = set()
    for path in (*chest.files, *others.files):
        sung |= set(find(path.read_bytes(), canaries))
        sung |= set(find(str(path).encode(), canaries))
    assert set(canaries.planted.values()) <= sung
    assert len(canaries.planted) > 5000
    assert {str(dcmread(path, stop_before_pixels=True).StudyInstanceUID) for path in chest.files} == {
        chest.study_instance_uid
    }
