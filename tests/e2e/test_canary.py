"""`plexus canary`, as a privacy officer runs it; and that it can fail."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from services.launcher.canary import run
from services.launcher.mesh import Mesh
from services.launcher.settings import REPOSITORY, Settings
from tests.mesh import Site


def told(mesh: Mesh, sample: Path) -> tuple[int, str]:
    output = io.StringIO()
    code = run.run(Console(file=output, width=200), mesh, sample)
    return code, output.getvalue()


def test_no_canary_gets_out(site: Site, sample: Path) -> None:
    code, output = told(site.mesh, sample)
    assert code == 0, output
    assert "0 of" in output
    for place in ("work store", "NATS", "Triton: inputs", "logs", "spans", "metrics"):
        assert place in output


def test_a_rule_that_is_switched_off_is_heard(sample: Path, tmp_path: Path) -> None:
    profile = tmp_path / "leaky.yaml"
    default = (REPOSITORY / "deploy" / "profiles" / "default.yaml").read_text()
    profile.write_text(default.replace("attributes: []", "attributes: [{attribute: PatientComments, action: keep}]"))
    settings = Settings.on_free_ports(tmp_path / "mesh")
    settings = replace(settings, overrides={**settings.overrides, "PLEXUS_ANONYMISE_PROFILE": str(profile)})
    with Mesh(settings) as mesh:
        code, output = told(mesh, sample)
    assert code == 1
    assert "PatientComments of the CT" in output


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
