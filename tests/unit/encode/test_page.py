"""The page that a referring doctor reads: its words, its pictures, and that it stays on the paper."""

from __future__ import annotations

import re
import unicodedata
import zlib
from typing import Any

import numpy as np
import pytest

from services.encode.adapters import pdf
from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.adapters.letters import font
from services.encode.adapters.pdf import WIDTH, Page, breadth, can_write, document, wrapped
from services.encode.model import Document, Kind
from services.encode.pictures import key_picture
from tests.unit.encode.kinds import SOURCES, ct, everything
from tests.unit.encode.made import JOB, NAMES, PLANES, ROWS, boxes, card, measured, original, read, said, sop, task

ENCODER = HighdicomEncoder(omit_empty_frames=True)
ONLY = {"results": {"PDF": {}}}


def _pdf(documents: tuple[Document, ...]) -> bytes:
    ds = read(next(one for one in documents if one.kind is Kind.PDF))
    assert ds.MIMETypeOfEncapsulatedDocument == "application/pdf"
    return bytes(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength])


def _pages(data: bytes) -> list[str]:
    """The drawing of each page, inflated."""
    return [_inflated(data, int(one)).decode("cp1252") for one in re.findall(rb"/Contents (\d+) 0 R", data)]


def _inflated(data: bytes, number: int) -> bytes:
    """The stream of an object."""
    start = data.index(b"stream\n", data.index(b"\n%d 0 obj" % number)) + 7
    return zlib.decompress(data[start : data.index(b"\nendstream", start)])


def _words(page: str) -> list[str]:
    return [line.replace("\\", "") for line in re.findall(r"Td \((.*)\) Tj", page)]


def _told(told: dict[str, Any], source: str = "CT volume", **arrays: Any) -> list[str]:
    (page,) = _pages(_pdf(ENCODER.encode(SOURCES[source]().task({**told, **ONLY}, **arrays)).documents))
    return _words(page)


def test_a_page_has_the_words_that_a_doctor_needs() -> None:
    words = _told(card(), labels=boxes(), measurements=measured())
    for line in (
        "Made by an algorithm, not verified by a person.",
        "Patient: Müller, Jürgen",
        "Born: 1950-01-02; sex: male",
        "Patient ID: P-4711",
        "Study: 2025-01-02 Thorax nativ",
        "Images: CT, series 3",
        "Accession: A-77; referred by: Roe, Richard",
        "Left lung",
        "volume 2380 mL",
        "Model: ct-lung 1.0.0, by Plexus",
        "Intended use: Research and demonstration. Not for clinical use.",
        "Made by an algorithm, not verified by a person. Page 1 of 1",
    ):
        assert line in words, line
    assert any(line.startswith(f"Job {JOB}") for line in words)


def test_what_was_looked_for_in_vain_is_told() -> None:
    nothing = np.full((2, 2), np.nan, np.float32)
    assert "Not found: Left lung." in _told(card(), labels=boxes(left=0), measurements=measured())
    words = _told(card(), labels=np.zeros_like(boxes()), measurements=nothing)
    assert "Nothing was found. Looked for: Left lung, Right lung." in words


def test_a_picture_is_called_what_the_viewer_calls_it() -> None:
    """By the number of its image, which runs against the planes here; in an instance of many frames, by its frame."""
    words = _told(card(), labels=boxes(), measurements=measured())
    assert [word for word in words if word.startswith("Image ")] == [f"Image {PLANES - 1}", f"Image {PLANES - 2}"]
    words = _told(card(), "US loop", labels=boxes(), measurements=measured())
    assert [word for word in words if word.startswith("Frame ")] == ["Frame 2", "Frame 3"]


def test_classes_boxes_and_maps_stand_on_it_with_what_they_are_worth() -> None:
    told, arrays = everything(1)
    words = " | ".join(_told(told, "CR", **arrays))
    assert "Pneumonia | present | probability 88%" in words
    assert "Left lung | marked by a box | Image 8, probability 50%" in words
    assert "enhancement | map | from 1.5 to 3 Standardized Uptake Value body" in words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2011.5, "2012"),
        (0.0, "0"),
        (-812.25, "-812.2"),
        (1234567.8, "1234568"),
        (0.00012345, "0.0001234"),
        (100, "100"),
    ],
)
def test_numbers_have_four_digits_and_no_exponent(value: float, shown: str) -> None:
    told = card(task="measurement", labels=[], measurements=card()["measurements"][:1])
    assert f"{shown} mL" in _told(told, "CR", measurements=np.array([[value]], np.float32))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Yamada^Tarou=山田^太郎", "Yamada, Tarou"),
        ("=山田^太郎=", "in other letters, see the study"),
        ("Ivanova^Maria=Иванова^Мария", "Ivanova, Maria"),
        ("", "not named"),
    ],
)
def test_a_name_is_shown_in_letters_that_the_page_has_or_not_at_all(name: str, shown: str) -> None:
    source = ct(PatientName=name, SpecificCharacterSet="ISO_IR 192")
    made = source.task(card(**ONLY), labels=boxes(), measurements=measured())
    (page,) = _pages(_pdf(ENCODER.encode(made).documents))
    assert f"Patient: {shown}" in _words(page)


def test_a_long_name_is_never_cut_and_a_text_in_other_letters_is_left_out() -> None:
    names = [f"Name{number}" for number in range(14)]
    source = ct(
        PatientName=f"{'-'.join(names)[:60]}^{' '.join(names)[:60]}", StudyDescription="胸部CT",
        SpecificCharacterSet="ISO_IR 192",
    )  # fmt: skip
    (page,) = _pages(_pdf(ENCODER.encode(source.task(card(**ONLY), labels=boxes(), measurements=measured())).documents))
    words = _words(page)
    assert f"{'-'.join(names)[:60]}, {' '.join(names)[:60]}".replace(" ", "") in "".join(words).replace(
        " ", ""
    ).replace("Study:2025-01-02", "")
    assert not any("?" in word for word in words)


def test_much_goes_on_on_further_pages_and_nothing_leaves_the_paper() -> None:
    label = card()["labels"][0]
    labels = [{**label, "value": v, "name": f"A structure with a long name, number {v}"} for v in range(1, 105)]
    found = (np.arange(PLANES * ROWS * 24) % 60).astype(np.uint8).reshape(PLANES, ROWS, 24)
    told = card(labels=labels, **ONLY)
    made = ct().task(told, labels=found, measurements=np.full((104, 2), -1234.5, np.float32))
    pages = _pages(_pdf(ENCODER.encode(made).documents))
    assert len(pages) > 2
    words = [word for page in pages for word in _words(page)]
    assert " ".join(words).count("number 59") == 1
    assert sum(word.startswith("volume -1234") for word in words) == 59
    assert [f"Page {n} of {len(pages)}" in " ".join(_words(page)) for n, page in enumerate(pages, 1)] == [True] * len(
        pages
    )
    for page in pages:
        written = re.findall(r"/F\d ([\d.]+) Tf ([\d.]+) ([\d.]+) Td \((.*)\) Tj", page)
        assert len(written) == len(_words(page)) > 5
        for size, x, y, text in written:
            assert 20 < float(y) < 820
            assert float(x) + breadth(text.replace("\\", ""), size=float(size)) <= WIDTH - 30, text
        for numbers in re.findall(r"q ([\d.]+) 0 0 ([\d.]+) ([\d.]+) ([\d.]+) cm", page):
            width, height, x, y = map(float, numbers)
            assert min(width, height) > 100
            assert (x + width <= WIDTH - 49, y > 140, y + height < 800) == (True, True, True)


def test_a_page_without_pixels_has_no_picture() -> None:
    made = ct().task(card(results={"PDF": {}, "SC": {}}), labels=boxes(), measurements=measured())
    without = task(made.result, made.headers)
    assert [document.kind for document in ENCODER.encode(without).documents] == [Kind.PDF]


def test_a_page_names_the_one_that_it_replaces() -> None:
    before = NAMES.instance("job-0", Kind.PDF)
    made = ct().task(card(**ONLY), labels=boxes(), measurements=measured())
    later = task(made.result, made.headers, original=original(revision=2), predecessors={Kind.PDF: before})
    pdf = read(ENCODER.encode(later).documents[0])
    (series,) = pdf.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == before.sop_instance_uid
    assert {item.ReferencedSOPInstanceUID for item in pdf.SourceInstanceSequence} == set(map(sop, range(PLANES)))


def test_a_colour_of_the_map_says_the_same_on_each_picture() -> None:
    """Also where a plane has one value alone."""
    told, arrays = everything(PLANES)
    heat = np.full(arrays["map"].shape, np.nan, np.float32)
    heat[2, :, :12], heat[2, :, 12:], heat[5] = 1.0, 3.0, 3.0
    result = said({**told, "labels": [], "classes": [], "measurements": [], "task": "image-to-image"}, PLANES, map=heat)
    first, second = (key_picture(result, plane, np.full((ROWS, 24, 3), 80, np.uint8)) for plane in (2, 5))
    assert (first[-1, 0] == 80).all(), "nothing where there is least"
    assert (first[-1, -1] == second[-1, -1]).all()
    assert second[-1, -1, 0] > second[-1, -1, 2], "red"
    alone = said({**told, "labels": [], "classes": [], "measurements": [], "task": "image-to-image"}, PLANES,
                 map=np.where(np.isnan(heat), heat, np.float32(1)))  # fmt: skip
    assert (key_picture(alone, 5, np.full((ROWS, 24, 3), 80, np.uint8))[-1, -1] == second[-1, -1]).all()


# The file.


def test_letters_that_a_page_has_no_font_for_do_not_break_it() -> None:
    page = Page()
    page.text(10, 10, "Ł 肺 (a\\b)")
    data = document("肺 (left) \\", [page, Page()])
    assert data.startswith(b"%PDF-1.4")
    assert data.count(b"endobj") == 7
    offset = int(data.rsplit(b"startxref\n", 1)[1].split()[0])
    assert data[offset : offset + 4] == b"xref"
    assert (can_write("Müller?"), can_write("Škoda"), can_write("山田")) == (True, True, False)


with_letters = pytest.mark.skipif(font() is None, reason="the system has no DejaVu Sans (fonts-dejavu-core)")


def test_lines_are_no_broader_than_they_may_be() -> None:
    text = "Wide WORDS and " + "x" * 200 + " the end"
    lines = wrapped(text, 120)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(map(breadth, lines)) <= 120


@with_letters
@pytest.mark.parametrize("text", ["Иванова, Мария", "Παπαδόπουλος, Γιώργος", "Łukasz Dvořák", "Nguyê\u0303n Thị Minh"])
def test_letters_beyond_western_europe_are_drawn_and_can_be_searched(text: str) -> None:
    page = Page()
    page.text(50, 50, text, size=12)
    page.text(50, 80, "Müller", bold=True)
    data = document("", [page])
    drawn, plain = _pages(data)[0].splitlines()
    assert plain.startswith("BT /F2") and "(Müller) Tj" in plain
    (number,) = re.findall(rb"/ToUnicode (\d+) 0 R", data)
    told = _inflated(data, int(number)).decode()
    letters = {glyph: chr(int(code, 16)) for glyph, code in re.findall(r"<(\w{4})> <(\w{4})>\n", told + "\n")}
    glyphs = re.findall(r"\w{4}", re.findall(r"<(\w+)> Tj", drawn)[0])
    assert "".join(letters[glyph] for glyph in glyphs) == unicodedata.normalize("NFC", text)
    assert document("", [page]) == data
    assert len(data) < 30_000  # of a font of 750 kB
    assert can_write(text) and 0 < breadth(text) < breadth(text, bold=True)


def test_a_page_in_western_letters_has_no_font_in_it() -> None:
    page = Page()
    page.text(50, 50, "Müller")
    assert b"/FontFile2" not in document("", [page])


@with_letters
def test_a_name_in_cyrillic_is_on_the_page() -> None:
    source = ct(PatientName="Иванова^Мария", SpecificCharacterSet="ISO_IR 144")
    pdf = _pdf(ENCODER.encode(source.task(card(**ONLY), labels=boxes(), measurements=measured())).documents)
    assert b"/FontFile2" in pdf
    assert "in other letters" not in _pages(pdf)[0]


def test_without_such_a_font_a_page_is_written_in_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "font", lambda: None)
    page = Page()
    page.text(50, 50, "Dvořák, Мария")
    data = document("", [page])
    assert b"/FontFile2" not in data and "(Dvorak, ?????) Tj" in _pages(data)[0]
    assert not can_write("Мария")
