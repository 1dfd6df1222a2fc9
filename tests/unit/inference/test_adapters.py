"""Work store, cards, result file, shared memory: the small adapters, each with its real technology."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from services.inference.adapters import shared_memory
from services.inference.adapters.cards import PackageCards
from services.inference.adapters.npz import NpzResults
from services.inference.adapters.obstore import ObstoreWorkStore
from services.inference.errors import CardUnusable, InputDamaged
from services.inference.model import Geometry, Outcome, Prediction
from tests import packages
from tests.unit.inference.fakes import FakeWork, toy_card

MODELS = Path(__file__).resolve().parents[3] / "models"
TEST_PREFIX = f"plexus-inference-test-{os.getpid()}-"


@pytest.fixture(params=["fake", "real"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> FakeWork | ObstoreWorkStore:
    return FakeWork({}) if request.param == "fake" else ObstoreWorkStore.at(f"file://{tmp_path}/work")


async def test_a_work_store_keeps_the_first_of_a_name_unless_told_to_replace(work: FakeWork | ObstoreWorkStore) -> None:
    assert await work.keep("jobs/a/result.npz", b"one")
    assert not await work.keep("jobs/a/result.npz", b"two")
    assert await work.read("jobs/a/result.npz") == b"one"
    assert await work.keep("jobs/a/result.npz", b"three", replace=True)
    assert await work.find("jobs/a/result.npz") == b"three"


async def test_a_work_store_reads_the_start_of_a_file_or_all_of_a_short_one(work: FakeWork | ObstoreWorkStore) -> None:
    await work.keep("jobs/a/x", b"0123456789")
    assert await work.read_start("jobs/a/x", 4) == b"0123"
    assert await work.read_start("jobs/a/x", 4000) == b"0123456789"


async def test_what_is_not_in_a_work_store_is_told_apart(work: FakeWork | ObstoreWorkStore) -> None:
    assert await work.find("jobs/b/result.npz") is None
    for ask in (work.read("jobs/b/x"), work.read_start("jobs/b/x", 10)):
        with pytest.raises(InputDamaged):
            await ask


def test_the_card_of_a_version_is_found_and_no_other(tmp_path: Path) -> None:
    packages.keep(tmp_path, [MODELS / "ct-lung"])
    cards = PackageCards(tmp_path)
    card = cards.find("ct-lung", "1.1.0")
    assert card is not None
    assert (card.name, card.served) == ("ct-lung", "ct-lung-1.1.0")
    assert cards.find("ct-lung", "1.1.0") is card
    for model, version in [("ct-lung", "9"), ("nobody", "1.1.0"), ("../ct-lung", "1.0.0"), ("ct-lung", "..")]:
        assert cards.find(model, version) is None


@pytest.mark.parametrize("text", ["name: [", "name: x", "- 1", (MODELS / "ct-bone" / "model.yaml").read_text()])
def test_a_card_that_cannot_be_used_names_the_model(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken" / "1.0.0").mkdir(parents=True)
    (tmp_path / "broken" / "1.0.0" / "model.yaml").write_text(text)
    with pytest.raises(CardUnusable, match="broken"):
        PackageCards(tmp_path).find("broken", "1.0.0")


def outcome() -> Outcome:
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 2, 3] = 3
    geometry = Geometry((2, 1, 0), (3, 4, 5), (2.5, 0.8, 0.7), np.eye(3))
    return Outcome(
        "job1",
        toy_card(),
        geometry,
        (("a", 1), ("b", 1), ("c", 1)),
        Prediction(labels, np.array([[np.nan]], np.float32)),
    )


def test_a_result_file_is_whole_only_with_all_of_its_bytes_and_for_its_own_job() -> None:
    results = NpzResults()
    data = results.pack(outcome())
    assert results.is_whole(data, "job1")
    assert not results.is_whole(data, "job2")
    assert not results.is_whole(data[:-1], "job1")
    assert not results.is_whole(data[: len(data) // 2], "job1")
    assert not results.is_whole(b"", "job1")
    spoilt = bytearray(data)
    spoilt[data.index(b"labels.npy") + 40] ^= 0xFF
    assert not results.is_whole(bytes(spoilt), "job1")


def test_a_region_is_memory_under_a_name_that_ends_with_it() -> None:
    with shared_memory.region(60, prefix=TEST_PREFIX) as region:
        array = region.array((3, 4), np.int16)
        array[:] = 7
        assert (shared_memory.FOLDER / region.name).read_bytes()[:24] == array.tobytes()
        assert shared_memory.remove_leftovers(prefix=TEST_PREFIX) == []
    assert not (shared_memory.FOLDER / region.name).exists()
    assert array.sum() == 84


def test_more_shared_memory_than_there_is_is_an_error_and_leaves_nothing() -> None:
    with pytest.raises(OSError), shared_memory.region(1 << 50, prefix=TEST_PREFIX):
        pass
    assert not list(shared_memory.FOLDER.glob(f"{TEST_PREFIX}*"))


def test_regions_of_a_killed_process_are_removed_and_those_of_a_living_one_are_not() -> None:
    program = (
        "import time\nfrom services.inference.adapters.shared_memory import region\n"
        f"with region(100, prefix={TEST_PREFIX!r}) as one:\n  print(one.name, flush=True)\n  time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert shared_memory.remove_leftovers(prefix=TEST_PREFIX) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (shared_memory.FOLDER / name).exists()
    assert shared_memory.remove_leftovers(prefix=TEST_PREFIX) == [name]
    assert not (shared_memory.FOLDER / name).exists()
