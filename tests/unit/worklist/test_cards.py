"""Model cards from a folder of packages."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from services.worklist.adapters.cards import read_candidates
from services.worklist.errors import ModelsError
from tests.unit.worklist.samples import card


def package(folder: Path, folder_name: str, text: str | None = None, **changes: object) -> None:
    (folder / folder_name).mkdir()
    values = dict(card(folder_name).source) | changes
    (folder / folder_name / "model.yaml").write_text(yaml.safe_dump(values) if text is None else text)


def test_every_package_of_the_folder_is_read(tmp_path: Path) -> None:
    package(tmp_path, "ct-lung", selection='series.Modality == "CT"')
    package(tmp_path, "ct-bone")
    (tmp_path / "README").write_text("no package")
    found = read_candidates(tmp_path)
    assert [candidate.card.name for candidate in found] == ["ct-bone", "ct-lung"]
    assert found[1].rule.selects({"00080060": {"vr": "CS", "Value": ["CT"]}}, 1)


def test_the_models_of_this_repository_can_be_used() -> None:
    for candidate in read_candidates(Path(__file__).resolve().parents[3] / "models"):
        assert not candidate.rule.selects({}, 0), f"{candidate.card.name} selects a series of which nothing is known"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"text": "{"}, "model bad: model.yaml is not YAML"),
        ({"text": "- 1"}, "model bad: the model card is malformed"),
        ({"text": "name: bad"}, "model bad: the model card lacks the key 'version'"),
        ({"selection": "series.Modality =="}, "model bad: its selection rule cannot be used: no CEL expression"),
        ({"selection": "series.Modalty == ''"}, "model bad: its selection rule cannot be used: series.Modalty"),
    ],
)
def test_a_package_that_cannot_be_used_stops_the_start_and_is_named(
    tmp_path: Path, changes: dict[str, str], why: str
) -> None:
    package(tmp_path, "bad", **changes)
    with pytest.raises(ModelsError, match=why):
        read_candidates(tmp_path)


def test_two_packages_of_one_name_are_refused(tmp_path: Path) -> None:
    package(tmp_path, "a", name="same")
    package(tmp_path, "b", name="same")
    with pytest.raises(ModelsError, match="model same: two packages"):
        read_candidates(tmp_path)


def test_a_folder_that_is_not_there_is_named_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ModelsError, match="PLEXUS_WORKLIST_MODELS_FOLDER"):
        read_candidates(tmp_path / "nowhere")
