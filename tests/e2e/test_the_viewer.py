"""A radiologist opens the link: OHIF shows the study with the segmentation over the CT."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

from tests.mesh import Site
from tests.studies import make_study

_CHROMIUM = Path("/usr/bin/chromium")
_QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
          "--no-first-run", "--disable-quic")  # fmt: skip
_IMAGES = {"x": 400, "y": 120, "width": 840, "height": 700}
"""Where the CT is shown, without the rulers and texts around it."""
_BESIDE_THE_PANEL = {**_IMAGES, "width": 680}
_LUNGS = 20_000
"""Of 588,000 pixels; both lungs in the middle of the chest take far more."""
_FAT = 5_000
"""Adipose tissue on the same slice takes more."""


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


def _coloured(page: Page, where: dict[str, int] = _IMAGES) -> int:
    """How many pixels of the images are not grey."""
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=where))).convert("RGB")).astype(int)  # type: ignore[arg-type]
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


def _panel(page: Page, model: str) -> Locator:
    """The card of a model in the panel, which is opened."""
    page.locator('[data-cy="models-btn"]').click()
    card = page.get_by_role("article", name=model)
    card.wait_for(timeout=60_000)
    return card


def test_the_same_slice_is_grey_until_a_person_runs_a_model_from_the_panel(
    site: Site, sample_job: dict[str, Any], page: Page
) -> None:
    _open(page, site, sample_job, sample_job["series_instance_uid"])
    card = _panel(page, "Adipose tissue (reference)")
    listed = page.get_by_role("article").get_by_role("heading").all_inner_texts()
    series = {"study": sample_job["study_instance_uid"], "series": sample_job["series_instance_uid"]}
    able = site.http.get("/models", params=series).json()["models"]
    assert listed == [model["title"] for model in able]
    assert len(able) > 3
    page.wait_for_timeout(2000)
    assert _coloured(page, _BESIDE_THE_PANEL) < 200

    status = card.get_by_role("status")
    seen: list[str] = []
    card.get_by_role("button", name=re.compile("^Run")).focus()
    page.keyboard.press("Enter")
    site.until(lambda: seen.append(status.inner_text()) or ("Computing" in seen and "Done" in seen[-1]), every=0.02)
    assert "Being de-identified" in seen
    site.until(lambda: page.wait_for_timeout(300) or _coloured(page, _BESIDE_THE_PANEL) > _FAT, every=0)
    assert page.get_by_text("(50/100)").is_visible(), "the slice on screen stays"


def test_closing_and_opening_the_panel_finds_the_same(site: Site, sample_job: dict[str, Any], page: Page) -> None:
    page.locator('[data-cy="panelSegmentation-btn"]').click()
    card = _panel(page, "Lung segmentation (reference)")
    card.locator("dd").last.wait_for(timeout=60_000)  # of the newest result, however a later job ended
    measured = card.locator("dd").all_inner_texts()
    assert len(measured) == 6, "volume, attenuation, fraction of each lung"
    assert measured[0].split()[-1] == "mL"


def test_the_panel_says_in_words_why_a_run_failed(site: Site, sample: Path, page: Page, tmp_path: Path) -> None:
    study = make_study(sample, tmp_path / "gap", seed="a gap in the viewer", shrink=8, count=25)
    for path in sorted(study.folder.glob("*.dcm"))[10:13]:
        path.unlink()
    assert site.storescu(study.folder).returncode == 0
    page.goto(f"{site.edge}/viewer/viewer?StudyInstanceUIDs={study.study_instance_uid}")
    card = _panel(page, "Body volume in the field of view (reference)")
    card.get_by_role("button", name="Run", exact=True).click()
    failed = card.get_by_text("Failed: the series is not a volume: about 3 slices are missing")
    failed.wait_for(timeout=60_000)
    assert card.get_by_role("button", name="Run", exact=True).is_visible(), "it can be tried again"


def test_the_study_list_shows_the_study(site: Site, sample_job: dict[str, Any], page: Page) -> None:
    # The session's mesh holds many studies by now: the list is asked for one patient, as a person would.
    page.goto(f"{site.edge}/viewer?mrn=CMB-CRC-MSB-01068")
    page.get_by_text("CT CAP").first.wait_for(timeout=60_000)
    page.get_by_text("CT\\SEG\\SR").first.wait_for(timeout=10_000)
