"""The page of the PDF report: whose images, what was found, by which model, for what it may be used."""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts.card import Measurement
from services.encode.adapters.highdicom.authorship import PRODUCT, PRODUCT_VERSION, UNVERIFIED, Authorship
from services.encode.adapters.highdicom.images import Pictures
from services.encode.adapters.highdicom.source import Sources
from services.encode.adapters.pdf import HEIGHT, WIDTH, Page, wrapped
from services.encode.findings import Finding, boxes_of, unit_text, whole_measured
from services.encode.model import Task

_MARGIN = 50
_BROAD = WIDTH - 2 * _MARGIN
_LINES = 22
"""Findings that one page has room for; the report (SR) has all."""


def page_of(
    task: Task, findings: Sequence[Finding], sources: Sources, pictures: Pictures, author: Authorship
) -> bytes:  # fmt: skip
    """The page, as a PDF file."""
    card, first = task.result.card, sources.first
    page = Page(f"{card.title}. {UNVERIFIED}")
    page.text(_MARGIN, 60, card.title, size=16, bold=True)
    page.text(_MARGIN, 78, f"{UNVERIFIED}.", size=11, bold=True)
    name = str(first.PatientName or "").split("=")[0].replace("^", ", ", 1).replace("^", " ").strip(", ")
    date = str(author.kept["StudyDate"].value or "")
    page.text(_MARGIN, 102, f"Patient: {name or 'not named'}    ID: {first.PatientID or 'none'}")
    page.text(_MARGIN, 116, f"Study: {_day(date)}    {first.get('StudyDescription') or ''}    {first.Modality}")
    beside = "    ".join(_day(str(one[0].get("StudyDate") or "")) + f" {one[0].Modality}" for one in sources.beside)
    if beside:
        page.text(_MARGIN, 130, f"Read with: {beside}"[:105])
    page.line(_MARGIN, 138 if beside else 124, _BROAD)
    y = 158.0 if beside else 144.0
    page.text(_MARGIN, y, "Findings of the algorithm", size=12, bold=True)
    lines = _findings(task, findings) or ["Nothing was found."]
    for line in [*lines[:_LINES], *([f"and {len(lines) - _LINES} more in the report (SR)"] if lines[_LINES:] else [])]:
        y += 15
        page.text(_MARGIN, y, line[:105])
    _pictures(page, y + 18, pictures)
    y = HEIGHT - 118
    page.line(_MARGIN, y - 14, _BROAD)
    page.text(_MARGIN, y, f"Model: {card.name} {card.version}, by {card.author}", bold=True)
    said = f"Intended use: {card.intended_use} Not for clinical use unless the intended use says otherwise."
    for line in wrapped(said, 105)[:4]:
        y += 13
        page.text(_MARGIN, y, line, size=9)
    made = author.when.strftime("%Y-%m-%d %H:%M")
    page.text(_MARGIN, HEIGHT - 40, f"Job {task.result.job_id}    {made}    {PRODUCT} {PRODUCT_VERSION}", size=8)
    return page.to_bytes()


def _day(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 else date or "no date"


def _findings(task: Task, findings: Sequence[Finding]) -> list[str]:
    result = task.result
    lines = []
    for finding in findings:
        searched = any(
            one is not None for one in (result.arrays.labels, result.arrays.probabilities, result.arrays.boxes)
        )
        state = ("found" if finding.found else "not found") if searched else ""
        lines.append("    ".join([finding.label.name, *filter(None, [state]), *map(_measured, finding.measured)]))
    lines += [f"{box.label.name}    box, certainty {box.score:.0%}" for box in boxes_of(result)]
    if result.arrays.classes is not None:
        for item, value in zip(result.card.classes, result.arrays.classes.tolist(), strict=True):
            state = "yes" if value >= item.threshold else "no"
            lines.append(f"{item.name}: {state}    certainty {value:.0%}")
    return lines + [_measured(item) for item in whole_measured(result)]


def _measured(item: tuple[Measurement, float]) -> str:
    measurement, value = item
    return f"{measurement.name} {value:.5g} {unit_text(measurement.unit)}"


def _pictures(page: Page, y: float, pictures: Pictures) -> None:
    if not pictures:
        return
    gap = 10
    room = (_BROAD - gap * (len(pictures) - 1)) / len(pictures)
    for number, (plane, pixels) in enumerate(pictures.items()):
        rows, columns = pixels.shape[:2]
        part = min(room / columns, (HEIGHT - 150 - y - 16) / rows, 330 / rows)
        page.picture(_MARGIN + number * (room + gap), y, columns * part, rows * part, pixels)
        page.text(_MARGIN + number * (room + gap), y + rows * part + 11, f"Image {plane + 1} of the series", size=8)
