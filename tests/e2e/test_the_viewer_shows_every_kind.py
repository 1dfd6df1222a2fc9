"""OHIF opens what strains a front door: 600 slices, a 500-frame loop, a slide with its levels, colours."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Response, sync_playwright

from load_tests import data, lean
from tests import pictures
from tests.e2e import viewed
from tests.e2e.test_the_viewer import _CHROMIUM, _IMAGES, _QUIET
from tests.mesh import Site
from tests.pictures import Pictures


class Window:
    """A page of OHIF, with what went over the wire for it."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page, self._site = page, site
        self.frames: set[str] = set()
        self.refused: list[int] = []
        page.on("response", self._heard)

    def _heard(self, response: Response) -> None:
        if response.status >= 400:
            self.refused.append(response.status)
        elif "/frames/" in response.url:
            self.frames.add(response.url)

    def open(self, made: Pictures) -> None:
        """Send the pictures and open their study, as the study list does."""
        instances = [data.Instance("", "", "", path.read_bytes()) for path in sorted(made.folder.iterdir())]
        url = f"{self._site.edge}/dicom-web/studies"
        bodies = data.stow_bodies(instances, 50)
        lean.drive(url, [lean.post(url, data.RELATED, body) for body in bodies])
        self.page.goto(f"{self._site.edge}/viewer/viewer?StudyInstanceUIDs={made.study_instance_uid}")
        self.page.get_by_text(made.description).first.wait_for(timeout=120_000)

    def until(self, shows: Callable[[np.ndarray], bool]) -> None:
        """Wait until the image area shows it."""
        self._site.until(lambda: self.page.wait_for_timeout(500) or shows(self.seen()), every=0)

    def seen(self) -> np.ndarray:
        """The image area: uint8 [rows, columns, RGB]."""
        shot = self.page.screenshot(clip=_IMAGES)  # type: ignore[arg-type]  # a dict of the right shape
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


@pytest.fixture
def window(site: Site) -> Iterator[Window]:
    assert _CHROMIUM.exists(), "Chromium is not here: ./plexus test installs it, or names the command"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_QUIET))
        opened = Window(browser.new_page(viewport={"width": 1400, "height": 900}), site)
        yield opened
        browser.close()
    assert opened.refused == []


def _share(pixels: np.ndarray, colour: tuple[int, int, int], within: int = 40) -> float:
    """The share of pixels that are nearly of this colour."""
    return float((np.abs(pixels.astype(int) - colour).max(axis=2) < within).mean())


def test_red_green_blue_and_white_are_where_they_belong(window: Window, tmp_path: Path) -> None:
    window.open(pictures.colour(tmp_path / "colour"))
    window.until(lambda seen: _share(seen, (255, 0, 0), 20) > 0.1)
    seen = window.seen()
    for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)):
        assert _share(seen, colour, 20) > 0.1, colour
    rows, columns = (seen[:, :, 0] > 235).nonzero()
    assert columns[rows < 100].mean() < _IMAGES["width"] / 2, "red is on the left"


def test_a_loop_of_500_frames_opens_at_its_first_one(window: Window, tmp_path: Path) -> None:
    window.open(pictures.ultrasound(tmp_path / "loop"))
    window.page.get_by_text("(1/500)").wait_for(timeout=120_000)
    window.until(lambda seen: 0.02 < _share(seen, (60, 60, 255), 60) < 0.5)


def test_a_segmentation_of_a_projection_is_shown_over_it(
    window: Window, site: Site, sample: Path, tmp_path: Path
) -> None:
    (radiograph,) = viewed.sources(sample, tmp_path, ["CR"])
    _, segmentation = next(viewed.results(radiograph))
    viewed.store(site.edge, [*viewed.files(radiograph), segmentation.data])
    window.page.goto(viewed.link(site.edge, segmentation))
    for colour in ((224, 97, 76), (101, 184, 145)):  # half of it, over grey
        window.until(lambda seen, colour=colour: _tinted(seen, colour) > 0.02)  # type: ignore[misc]


def _tinted(pixels: np.ndarray, colour: tuple[int, int, int]) -> float:
    """The share of pixels that are grey with some of this colour: red, green and blue differ as in it."""
    wanted, seen = np.array(colour) - np.mean(colour), pixels - pixels.mean(axis=2, keepdims=True)
    return float(((seen @ wanted / np.linalg.norm(wanted) > 20) & (np.ptp(seen, axis=2) > 20)).mean())


def test_a_slide_is_shown_by_its_levels(window: Window, tmp_path: Path) -> None:
    window.open(pictures.slide(tmp_path / "slide"))
    window.until(lambda seen: _share(seen, (238, 200, 222), 12) > 0.3)
    window.until(lambda seen: _share(seen, (90, 40, 130)) > 0.005)


def test_all_600_slices_of_a_series_come(window: Window, site: Site, tmp_path: Path) -> None:
    window.open(pictures.long_series(tmp_path / "long"))
    window.page.get_by_text("(1/600)").wait_for(timeout=120_000)
    site.until(lambda: window.page.wait_for_timeout(500) or len(window.frames) == 600, every=0)
