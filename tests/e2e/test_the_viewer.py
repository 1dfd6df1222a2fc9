"""A radiologist opens the link: OHIF shows the study with the segmentation over the CT."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.mesh import Site

_CHROMIUM = Path("/usr/bin/chromium")
_QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
          "--no-first-run", "--disable-quic")  # fmt: skip
_IMAGES = {"x": 400, "y": 120, "width": 840, "height": 700}
"""Where the CT is shown, without the rulers and texts around it."""
_LUNGS = 20_000
"""Of 588,000 pixels; both lungs in the middle of the chest take far more."""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    assert _CHROMIUM.exists(), "Chromium is not here: ./plexus test installs it, or names the command"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_QUIET))
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()


def _open(page: Page, site: Site, job: dict[str, Any], series: str) -> None:
    page.goto(
        f"{site.edge}/viewer/viewer?StudyInstanceUIDs={job['study_instance_uid']}&initialSeriesInstanceUID={series}"
    )
    page.get_by_text("(10/100)").or_(page.get_by_text("(1/100)")).first.wait_for(timeout=120_000)
    page.mouse.move(_IMAGES["x"] + _IMAGES["width"] / 2, _IMAGES["y"] + _IMAGES["height"] / 2)
    # To the middle of the chest, slice by slice, as one scrolls.
    for _ in range(60):
        if page.get_by_text("(50/100)").is_visible():
            return
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(100)
    raise AssertionError("slice 50 of 100 never came")


def _coloured(page: Page) -> int:
    """How many pixels of the images are not grey."""
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=_IMAGES))).convert("RGB")).astype(int)  # type: ignore[arg-type]
    return int(np.count_nonzero(shot.max(axis=2) - shot.min(axis=2) > 30))


def test_the_link_of_the_segmentation_shows_both_lungs_over_the_ct(
    site: Site, sample_job: dict[str, Any], page: Page, tmp_path: Path
) -> None:
    seg = next(result for result in sample_job["results"] if result["kind"] == "SEG")
    _open(page, site, sample_job, seg["series_instance_uid"])
    site.until(lambda: page.wait_for_timeout(500) or _coloured(page) > _LUNGS, every=0)
    shot = Image.open(io.BytesIO(page.screenshot(path=tmp_path / "ohif.png", clip=_IMAGES))).convert("RGB")  # type: ignore[arg-type]
    red, _, blue = np.moveaxis(np.asarray(shot).astype(int), 2, 0)
    # Radiological view: the patient's left is on the right. The card's colours: left lung red, right lung blue.
    assert np.argwhere(red - blue > 30)[:, 1].mean() > _IMAGES["width"] / 2
    assert np.argwhere(blue - red > 30)[:, 1].mean() < _IMAGES["width"] / 2


def test_the_same_slice_without_the_segmentation_is_grey(site: Site, sample_job: dict[str, Any], page: Page) -> None:
    _open(page, site, sample_job, sample_job["series_instance_uid"])
    page.wait_for_timeout(3000)
    assert _coloured(page) < 200


def test_the_study_list_shows_the_study(site: Site, sample_job: dict[str, Any], page: Page) -> None:
    # The session's mesh holds many studies by now: the list is asked for one patient, as a person would.
    page.goto(f"{site.edge}/viewer?mrn=CMB-CRC-MSB-01068")
    page.get_by_text("CT CAP").first.wait_for(timeout=60_000)
    page.get_by_text("CT\\SEG\\SR").first.wait_for(timeout=10_000)
