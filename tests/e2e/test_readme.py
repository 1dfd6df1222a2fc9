"""The examples of the README for a mesh that is up do what they say, as they are printed but for the ports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.documents import examples
from tests.mesh import Site

TELLING = {
    "storescu": (
        r"Received Store Response \(Success\)",
        r'"00080061":{"vr":"CS","Value":\[.*"CT"',
        r'"jobs":',
        r'"records":',
    ),
    "findscu": (r'"0020000E"', r'"00080018"', r"\(0010,0010\) PN"),
    "DICOMwebClient": (r"^[0-9.]+ [1-9]\d*$",),
    "echoscu": (r"Received Echo Response \(Success\)",),
}
"""What the output of each has, by a word that only it has."""


def test_the_examples_of_the_readme_work_as_printed(site: Site, tmp_path: Path) -> None:
    ports = {
        "8080": site.mesh.settings.ports["edge"],
        "11112": site.mesh.settings.ports["dimse"],
        "2762": site.tls_port,
    }
    (tmp_path / "tests").symlink_to(Path(__file__).resolve().parents[1])
    for each in site.certificates.glob("*.*"):
        (tmp_path / each.name).symlink_to(each)

    printed = examples("README.md", "127.0.0.1")

    assert len(printed) == len(TELLING)
    for example, (word, lines) in zip(printed, TELLING.items(), strict=True):
        assert word in example
        for port, here in ports.items():
            example = re.sub(rf"(127\.0\.0\.1[: ]){port}\b", rf"\g<1>{here}", example)
        interpreter = [sys.executable, "-c"] if word == "DICOMwebClient" else ["bash", "-euc"]
        done = subprocess.run([*interpreter, example], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for line in lines:
            assert re.search(line, done.stdout + done.stderr, re.MULTILINE), line
    assert (tmp_path / "study.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert len(list((tmp_path / "got").iterdir())) >= 100
