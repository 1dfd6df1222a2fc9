"""What becomes of a picture: let through, masked, or held for a person. What cannot be looked at is held."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from load_tests.lettering import background, lettered
from services.anonymise.burned_in import workers as pool
from services.anonymise.burned_in.devices import DeviceRule, Rule
from services.anonymise.burned_in.model import Box, Decision, Doubt
from services.anonymise.burned_in.picture import picture_of
from services.anonymise.burned_in.work import Refusal, Work, WorkRefused
from services.anonymise.burned_in.workers import Workers
from services.anonymise.engine.elements import read_file
from services.anonymise.errors import DoubtfulPixelsError, Reason, RefusedError
from tests.unit.anonymise.burned_in.made import ALL, CT, US, cleaned, cleaner, instance

PLAIN = background("body", 200, 300)
LETTERED, LETTERS = lettered(PLAIN, "Doe, Jane 1967-03-02", 16, (20, 30))


class Absent(Workers):
    """Workers that must not be needed."""

    def ask(self, *_: object, **__: object) -> bytes:
        raise AssertionError("nobody is asked")


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """Workers in an environment that hides the text reader."""
    hidden = "import sys; sys.modules['rapidocr'] = None\n"
    monkeypatch.setattr(
        pool, "PROGRAM", ("-c", hidden + "from services.anonymise.burned_in.worker import main; main()")
    )
    return Workers(count=1, memory_bytes=1024**3, seconds=60)


def test_an_original_slice_goes_through_without_a_worker() -> None:
    data = instance(PLAIN, sop_class=CT, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    ds = cleaned(data, cleaner(Absent(count=1, memory_bytes=1, seconds=1)))
    assert np.array_equal(ds.pixel_array, PLAIN)
    assert "BurnedInAnnotation" not in ds


def test_without_a_text_reader_what_is_suspect_is_held(blind: Workers) -> None:
    for data in (instance(PLAIN), instance(LETTERED, sop_class=US)):
        with pytest.raises(DoubtfulPixelsError) as held:
            cleaned(data, cleaner(blind))
        assert held.value.finding.doubt is Doubt.NO_READER
    blind.close()


def test_without_a_text_reader_a_person_still_releases_with_masks(blind: Workers) -> None:
    ds = cleaned(instance(LETTERED), cleaner(blind, decision=Decision(True, (Box(0, 20, 300, 40),))))
    assert len(np.unique(ds.pixel_array[20:60])) == 1
    assert np.array_equal(ds.pixel_array[60:], LETTERED[60:])
    blind.close()


def test_a_worker_that_cannot_start_holds_what_is_suspect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PROGRAM", ("-c", "raise SystemExit(3)"))
    with pytest.raises(DoubtfulPixelsError) as held:
        cleaned(instance(LETTERED), cleaner(Workers(count=1, memory_bytes=1024**3, seconds=60)))
    assert held.value.finding.doubt is Doubt.LOST


def test_a_worker_that_dies_over_a_picture_holds_it_and_the_next_one_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    dying = (
        "import os\nfrom services.anonymise.burned_in import examining, worker\n"
        "examining.examine = lambda parameters, data: os.abort()\nworker.main()"
    )
    workers = Workers(count=1, memory_bytes=1024**3, seconds=60)
    with monkeypatch.context() as patch:
        patch.setattr(pool, "PROGRAM", ("-c", dying))
        with pytest.raises(DoubtfulPixelsError) as held:
            cleaned(instance(LETTERED), cleaner(workers))
        assert held.value.finding.doubt is Doubt.LOST
    ds = cleaned(instance(PLAIN), cleaner(workers, decision=Decision(True, (Box(0, 0, 9, 9),))))
    assert np.array_equal(ds.pixel_array[9:], PLAIN[9:])
    workers.close()


def test_a_worker_that_has_ended_is_followed_by_another() -> None:
    workers = Workers(count=1, memory_bytes=1024**3, seconds=60)
    released = cleaner(workers, decision=Decision(True, (Box(0, 0, 9, 9),)))
    for _ in range(2):  # each time in a thread of its own, with which the worker ends
        with ThreadPoolExecutor(1) as thread:
            ds = thread.submit(cleaned, instance(PLAIN), released).result()
        assert np.array_equal(ds.pixel_array[9:], PLAIN[9:])
    workers.close()


def test_pixels_that_take_too_long_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = (
        "from services.anonymise.burned_in import examining, worker\n"
        "examining.examine = lambda parameters, data: [0 for _ in iter(int, 1)]\nworker.main()"
    )
    monkeypatch.setattr(pool, "PROGRAM", ("-c", busy))
    workers = Workers(count=1, memory_bytes=1024**3, seconds=0)
    with pytest.raises(WorkRefused) as refused:
        workers.ask(Work.EXAMINE, b"", ())
    assert refused.value.refusal is Refusal.TOO_LARGE


def test_pixels_that_need_more_than_the_limits_are_no_answer() -> None:
    small = Workers(count=1, memory_bytes=32 * 1024**2, seconds=60)
    picture = picture_of(read_file(instance(np.zeros((4000, 4000), np.uint16))))
    assert picture is not None
    asked = picture.question((Box(0, 0, 9, 9),), read=False)
    with pytest.raises(WorkRefused) as refused:
        small.ask(Work.EXAMINE, asked.packed(), picture.data)
    assert refused.value.refusal is Refusal.TOO_LARGE
    small.close()


def test_pixels_that_cannot_be_decoded_are_held(workers: Workers) -> None:
    data = instance(LETTERED, "1.2.840.10008.1.2.4.90")
    broken = data.replace(b"\xff\x4f\xff\x51", b"\0\0\0\0")
    with pytest.raises(DoubtfulPixelsError) as held:
        cleaned(broken, cleaner(workers))
    assert held.value.finding.doubt in (Doubt.UNREADABLE, Doubt.NO_READER)
    with pytest.raises(RefusedError) as refused:  # a person cannot have that masked either
        cleaned(broken, cleaner(workers, decision=Decision(True, (Box(0, 0, 9, 9),))))
    assert refused.value.code == Reason.NOT_MASKABLE


def test_what_a_person_refused_is_refused(workers: Workers) -> None:
    with pytest.raises(RefusedError) as refused:
        cleaned(instance(LETTERED), cleaner(workers, decision=Decision(False)))
    assert refused.value.code == Reason.REFUSED_BY_PERSON


def test_what_a_person_released_as_it_is_stays_equal(workers: Workers) -> None:
    ds = cleaned(instance(LETTERED, BurnedInAnnotation="YES"), cleaner(workers, decision=Decision(True)))
    assert np.array_equal(ds.pixel_array, LETTERED)
    assert ds.BurnedInAnnotation == "NO"
    assert "113101" in [item.CodeValue for item in ds.DeidentificationMethodCodeSequence]


def test_the_masks_of_a_device_rule_are_put_on_whatever_a_person_decides(workers: Workers) -> None:
    rule = DeviceRule("Acme", "", "", "", 0, 0, Rule.MASK, (Box(0, 0, 300, 60),))
    data = instance(LETTERED, Manufacturer="Acme")
    ds = cleaned(data, cleaner(workers, rules=(rule,), decision=Decision(True)))
    assert len(np.unique(ds.pixel_array[:60])) == 1
    assert np.array_equal(ds.pixel_array[60:], LETTERED[60:])


def test_text_is_masked_and_the_rest_stays_equal(reading: Workers) -> None:
    ds = cleaned(instance(LETTERED), cleaner(reading))
    changed = ds.pixel_array != LETTERED
    assert changed[LETTERS].mean() > 0.9 and len(np.unique(ds.pixel_array[LETTERS])) == 1
    assert not changed[90:].any() and not changed[:, 260:].any()


def test_a_picture_without_text_stays_equal(reading: Workers) -> None:
    assert np.array_equal(cleaned(instance(PLAIN), cleaner(reading)).pixel_array, PLAIN)


def test_text_on_one_frame_alone_is_masked_in_all(reading: Workers) -> None:
    frames = np.stack([PLAIN, PLAIN, LETTERED, PLAIN])
    ds = cleaned(instance(frames, "1.2.840.10008.1.2.5", frames=4), cleaner(reading))
    assert len(np.unique(ds.pixel_array[2][LETTERS])) == 1
    assert np.array_equal(ds.pixel_array[:, 90:], frames[:, 90:])


def test_text_that_is_said_and_not_found_is_held(reading: Workers) -> None:
    with pytest.raises(DoubtfulPixelsError) as held:
        cleaned(instance(PLAIN, BurnedInAnnotation="YES"), cleaner(reading))
    assert held.value.finding.doubt is Doubt.SAID


def test_scanned_paper_is_held_with_what_was_found(reading: Workers) -> None:
    with pytest.raises(DoubtfulPixelsError) as held:
        cleaned(instance(LETTERED, ConversionType="SD"), cleaner(reading), replace(ALL, name="scans"))
    assert held.value.finding.doubt is Doubt.SCANNED and held.value.finding.found
