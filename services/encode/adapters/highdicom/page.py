"""The report as pages to read: whose images, what was found, key pictures, which model, for what it may be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor, log10
from typing import NamedTuple

from pydicom import Dataset

from services.contracts.card import Measurement
from services.encode.adapters.highdicom.authorship import PRODUCT, PRODUCT_VERSION, UNVERIFIED, Authorship
from services.encode.adapters.highdicom.images import Pictures
from services.encode.adapters.highdicom.source import Sources
from services.encode.adapters.pdf import HEIGHT, WIDTH, Colour, Page, breadth, can_write, document, wrapped
from services.encode.findings import Finding, boxes_of, extent, unit_text, whole_measured
from services.encode.model import Task

_MARGIN, _LINE = 50, 14
_BROAD = WIDTH - 2 * _MARGIN
_COLUMNS = (_MARGIN, _MARGIN + 14, _MARGIN + 175, _MARGIN + 265)
"""Where a row has its colour, its name, what is said of it, and its numbers."""
_BOTTOM = HEIGHT - 150
"""Where the words on the model begin; on pages before the last, there is only the foot."""
_FOOT = HEIGHT - 36
_LEAST_PICTURE, _MOST_PICTURE = 150, 330
_WARNING: Colour = (255, 236, 179)
_SEXES = {"M": "male", "F": "female", "O": "other"}


class _Row(NamedTuple):
    name: str
    said: str
    numbers: str = ""
    colour: Colour | None = None


def page_of(
    task: Task, findings: Sequence[Finding], sources: Sources, pictures: Pictures, author: Authorship
) -> bytes:  # fmt: skip
    """The report, as a PDF file: one page unless more was found than it has room for."""
    card = task.result.card
    paper = _Paper()
    paper.write(card.title, size=16, bold=True, before=10)
    paper.page.area(_MARGIN, paper.y + 5, _BROAD, 18, _WARNING)
    paper.write(f"{UNVERIFIED}.", x=_MARGIN + 6, size=11, bold=True, before=4)
    paper.y += 8
    half = _BROAD / 2 + 8
    for left, right in _about(sources, author):
        paper.cells([(_MARGIN, left, half - 16), (_MARGIN + half, right, half - 16)])
    paper.rule()
    paper.write("Findings of the algorithm", size=12, bold=True, before=6)
    paper.y += 2
    for row in _rows(task, findings, sources):
        paper.row(row)
    for line in wrapped(_absent(task, findings), _BROAD):
        paper.write(line)
    _show(paper, pictures, sources)
    _sign(paper, task, author)
    return document(f"{card.title}. {UNVERIFIED}", paper.pages)


class _Paper:
    """Pages that are filled from above."""

    def __init__(self) -> None:
        self.page = Page()
        self.pages = [self.page]
        self.y = 46.0

    def room(self, height: float) -> None:
        """A new page, where this one has no room for `height` more."""
        if self.y + height > _BOTTOM:
            self.page = Page()
            self.pages.append(self.page)
            self.y = 46.0

    def write(self, text: str, *, x: float = _MARGIN, size: float = 10, bold: bool = False, before: float = 0) -> None:
        if text:
            self.room(size + 4 + before)
            self.y += size + 4 + before
            self.page.text(x, self.y, text, size=size, bold=bold)

    def rule(self) -> None:
        self.y += 8
        self.page.line(_MARGIN, self.y, _BROAD)

    def row(self, row: _Row) -> None:
        _, name, said, numbers = _COLUMNS
        cells = [
            (name, row.name, said - name - 8),
            (said, row.said, numbers - said - 8),
            (numbers, row.numbers, _MARGIN + _BROAD - numbers),
        ]
        self.cells(cells, row.colour)

    def cells(self, cells: Sequence[tuple[float, str, float]], colour: Colour | None = None) -> None:
        """Texts beside one another, each with where it begins and how broad it may be; and a patch before them."""
        texts = [(x, wrapped(text, width)) for x, text, width in cells]
        high = _LINE * max(len(lines) for _, lines in texts)
        self.room(high)
        if colour is not None:
            self.page.area(_MARGIN, self.y + 5, 9, 9, colour)
        for x, lines in texts:
            for number, line in enumerate(lines, 1):
                self.page.text(x, self.y + number * _LINE - 1, line)
        self.y += high


def _about(sources: Sources, author: Authorship) -> Iterator[tuple[str, str]]:
    """Whose images these are, in two columns."""
    first, kept = sources.first, author.kept
    sex = str(kept["PatientSex"].value or "")
    born = _day(str(kept["PatientBirthDate"].value or ""), "not known")
    date = _day(str(kept["StudyDate"].value or ""), "no date")
    series = f"{first.Modality}, series {first.get('SeriesNumber') or '-'} {_legible(first.get('SeriesDescription'))}"
    study = f"Study: {date} {_legible(first.get('StudyDescription'))}"
    yield f"Patient: {_person(first.PatientName, 'not named')}", study
    yield f"Born: {born}; sex: {_SEXES.get(sex, sex or 'not known')}", f"Images: {series}"
    sent = f"referred by: {_person(first.ReferringPhysicianName, 'nobody named')}"
    yield f"Patient ID: {first.PatientID or 'none'}", f"Accession: {first.AccessionNumber or 'none'}; {sent}"
    for one in sources.beside:
        yield "", f"Read with: {_day(str(one[0].get('StudyDate') or ''), 'no date')} {one[0].Modality}"


def _person(name: object, nobody: str) -> str:
    """A person's name, in the first of its writings that the fonts have letters for (PS3.5 6.2.1)."""
    groups = [part.replace("^", ", ", 1).replace("^", " ").strip(", ") for part in str(name or "").split("=")]
    written = [part for part in groups if part]
    return next(filter(can_write, written), "in other letters, see the study" if written else nobody)


def _legible(text: object) -> str:
    """A text, where the fonts have letters for it."""
    return str(text) if text and can_write(str(text)) else ""


def _day(date: str, none: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 else date or none


def _searched(task: Task) -> bool:
    arrays = task.result.arrays
    return any(one is not None for one in (arrays.labels, arrays.probabilities, arrays.boxes))


def _rows(task: Task, findings: Sequence[Finding], sources: Sources) -> Iterator[_Row]:
    """What was found and measured; what was not found has a line of its own."""
    result = task.result
    for finding in findings:
        if finding.number is not None or not _searched(task):
            said = "found" if _searched(task) else ""
            yield _Row(finding.label.name, said, ", ".join(map(_measured, finding.measured)), finding.label.colour)
    for box in boxes_of(result):
        where = _image(sources, box.planes[len(box.planes) // 2])
        yield _Row(box.label.name, "marked by a box", f"{where}, probability {box.score:.0%}")
    if result.arrays.classes is not None:
        for item, value in zip(result.card.classes, result.arrays.classes.tolist(), strict=True):
            yield _Row(item.name, "present" if value >= item.threshold else "absent", f"probability {value:.0%}")
    for measurement, value in whole_measured(result):
        yield _Row(measurement.name, "measured", _quantity(measurement, value))
    if result.card.map is not None and result.arrays.map is not None:
        reach, unit = extent(result.arrays.map), unit_text(result.card.map.unit)
        numbers = f"from {_number(reach[0])} to {_number(reach[1])} {unit}, red where most" if reach else ""
        yield _Row(result.card.map.name, "map" if reach else "map without a value", numbers)


def _absent(task: Task, findings: Sequence[Finding]) -> str:
    """The labels that were looked for in vain."""
    absent = [finding.label.name for finding in findings if not finding.found] if _searched(task) else []
    if findings and len(absent) == len(findings):
        return f"Nothing was found. Looked for: {', '.join(absent)}."
    return f"Not found: {', '.join(absent)}." if absent else ""


def _measured(item: tuple[Measurement, float]) -> str:
    return f"{item[0].name} {_quantity(*item)}"


def _quantity(measurement: Measurement, value: float) -> str:
    return f"{_number(value)} {unit_text(measurement.unit)}"


def _number(value: float) -> str:
    """To four digits, and never with an exponent; the report (SR) has all that the model gave."""
    digits = min(max(0, 3 - floor(log10(abs(value)))), 9) if value else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _image(sources: Sources, plane: int) -> str:
    """A plane as a viewer calls it: its frame, or the number of its image."""
    at = sources.planes[plane]
    if sources.is_multiframe(at.instance):
        return f"Frame {at.frame}"
    return f"Image {_number_in_series(at.instance) or plane + 1}"


def _number_in_series(instance: Dataset) -> str:
    value = instance.get("InstanceNumber")
    return "" if value is None else str(value)


def _show(paper: _Paper, pictures: Pictures, sources: Sources) -> None:
    """The key pictures, as large as they may be: in one row, or in more where that makes them larger."""
    if not pictures:
        return
    gap, caption = 10, 16
    rows, columns = (max(pixels.shape[axis] for pixels in pictures.values()) for axis in (0, 1))

    def scale(across: int) -> float:
        down = -(-len(pictures) // across)
        high = (_BOTTOM - paper.y - 12 - down * caption) / down
        return float(min((_BROAD - gap * (across - 1)) / across / columns, high / rows, _MOST_PICTURE / rows))

    choices = range(1, len(pictures) + 1)
    if max(map(scale, choices)) * max(rows, columns) < _LEAST_PICTURE:
        paper.room(HEIGHT)
    across = max(choices, key=scale)
    part, top = scale(across), paper.y + 12
    for number, (plane, pixels) in enumerate(pictures.items()):
        x = _MARGIN + (number % across) * (columns * part + gap)
        y = top + (number // across) * (rows * part + caption)
        paper.page.picture(x, y, pixels.shape[1] * part, pixels.shape[0] * part, pixels)
        paper.page.text(x, y + pixels.shape[0] * part + 10, _image(sources, plane), size=8)


def _sign(paper: _Paper, task: Task, author: Authorship) -> None:
    """Which model it was and for what it may be used, on the last page; and the foot of each."""
    card, page = task.result.card, paper.page
    y = _BOTTOM + 18.0
    page.line(_MARGIN, y - 12, _BROAD)
    page.text(_MARGIN, y, f"Model: {card.name} {card.version}, by {card.author}"[:100], bold=True)
    said = f"Intended use: {card.intended_use}"
    if "not for clinical use" not in said.lower():
        said += " Not for clinical use unless the intended use says otherwise."
    for line in wrapped(said, _BROAD, size=9)[:5]:
        y += 12
        page.text(_MARGIN, y, line, size=9)
    made = author.when.strftime("%Y-%m-%d %H:%M")
    for number, one in enumerate(paper.pages, 1):
        one.text(_MARGIN, _FOOT, f"Job {task.result.job_id}    {made}    {PRODUCT} {PRODUCT_VERSION}", size=8)
        count = f"{UNVERIFIED}. Page {number} of {len(paper.pages)}"
        one.text(_MARGIN + _BROAD - breadth(count, size=8), _FOOT, count, size=8)
