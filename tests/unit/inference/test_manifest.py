"""The manifest of a released input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.contracts.events import JobReleased
from services.contracts.work import manifest_key
from services.inference.errors import InputDamaged
from services.inference.manifest import read_manifest
from tests.unit.inference.series import released

EVENT = JobReleased("job1", "toy", "1.0.0", manifest_key("job1"), 3)


def manifest() -> Any:
    return json.loads(released(3)[manifest_key("job1")])


def test_entries_lie_beside_the_manifest() -> None:
    entries = read_manifest(json.dumps(manifest()).encode(), EVENT).entries
    assert [entry.key for entry in entries] == [f"jobs/job1/input/0000{n}.dcm" for n in range(3)]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m: m.update(job_id="job2"), "another job"),
        (lambda m: m.update(model_version="2"), "another job"),
        (lambda m: m.update(schema=2), "not known"),
        (lambda m: m["instances"].pop(), "2 instances where 3"),
        (lambda m: m["instances"][0].update(file="../../job2/input/00000.dcm"), "cannot be"),
        (lambda m: m["instances"][0].update(sop_instance_uid=m["instances"][1]["sop_instance_uid"]), "twice"),
        (lambda m: m["instances"][0].pop("sha256"), "cannot be read"),
        (lambda m: m.update(instances=None), "cannot be read"),
    ],
)
def test_a_manifest_that_is_not_the_announced_one_is_refused(spoil: Any, words: str) -> None:
    spoilt = manifest()
    spoil(spoilt)
    with pytest.raises(InputDamaged, match=words):
        read_manifest(json.dumps(spoilt).encode(), EVENT)


def test_bytes_that_are_no_json_are_refused() -> None:
    with pytest.raises(InputDamaged):
        read_manifest(b"\xff{", EVENT)
