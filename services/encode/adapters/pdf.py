"""Pages of PDF 1.4 (ISO 32000-1): text in the standard fonts, lines, areas and pictures. What we need of it is small.

The same words and pictures make the same bytes: no date, no random id. The standard fonts know Western European
letters alone; a line with others is written in an embedded font (`letters`), and what that has no letter for without
its accents, or as `?`. So it is where the system has no such font.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.encode.adapters.letters import Font, composed, font

WIDTH, HEIGHT = 595, 842
"""A4, in points."""
_FONTS = {"F1": "Helvetica", "F2": "Helvetica-Bold"}
_WIDTHS = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
)  # fmt: skip
"""Of Helvetica's letters from the space to the tilde, in thousandths of the size."""
_BROADEST_BOLD = 1.08
_BOLD_STROKE = 0.03
"""The embedded font has no bold letters: theirs are drawn around, so broad in parts of their size."""
Colour = tuple[int, int, int]


class Page:
    """A page to write on, from above; the origin is the upper left corner."""

    def __init__(self) -> None:
        self.drawn: list[bytes] = []
        self.pictures: list[bytes] = []
        self.letters: set[str] = set()
        """Those that are written in the embedded font."""

    def text(self, x: float, y: float, text: str, *, size: float = 10, bold: bool = False) -> None:
        """Write a line whose baseline is at `y`."""
        if (embedded := _font_for(text)) is not None:
            self.letters |= set(composed(text))
            stroke = b"2 Tr %g w " % (size * _BOLD_STROKE) if bold else b""
            said = (stroke, size, x, HEIGHT - y, embedded.written(text))
            self.drawn.append(b"q BT %s/F3 %g Tf %g %g Td %s Tj ET Q" % said)
            return
        name = "F2" if bold else "F1"
        self.drawn.append(b"BT /%s %g Tf %g %g Td (%s) Tj ET" % (name.encode(), size, x, HEIGHT - y, _string(text)))

    def line(self, x: float, y: float, width: float) -> None:
        """Draw a thin line to the right."""
        self.drawn.append(b"0.5 w %g %g m %g %g l S" % (x, HEIGHT - y, x + width, HEIGHT - y))

    def area(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle whose upper left corner is at `x`, `y`."""
        parts = b" ".join(b"%g" % (part / 255) for part in colour)
        self.drawn.append(b"q %s rg %g %g %g %g re f Q" % (parts, x, HEIGHT - y - height, width, height))

    def picture(self, x: float, y: float, width: float, height: float, pixels: NDArray[np.uint8]) -> None:
        """Show an RGB picture whose upper left corner is at `x`, `y`."""
        rows, columns = pixels.shape[:2]
        data = zlib.compress(np.ascontiguousarray(pixels).tobytes(), 6)
        head = b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB /BitsPerComponent 8"
        place = (width, height, x, HEIGHT - y - height, len(self.pictures))
        self.drawn.append(b"q %g 0 0 %g %g %g cm /P%d Do Q" % place)
        self.pictures.append(_stream(head % (columns, rows), data))


def document(title: str, pages: Sequence[Page]) -> bytes:
    """The file of some pages."""
    fonts = b" ".join(
        b"/%s << /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>"
        % (name.encode(), family.encode())
        for name, family in _FONTS.items()
    )
    objects = [b"<< /Type /Catalog /Pages 2 0 R /Lang (en) >>", b"", b"<< /Title (%s) >>" % _string(title)]
    letters, embedded = set[str]().union(*(page.letters for page in pages)), font()
    if letters and embedded is not None:
        fonts += b" /F3 %d 0 R" % (len(objects) + 1)
        objects += embedded.objects(letters, len(objects) + 1)
    kids = []
    for page in pages:
        number = len(objects) + 1
        kids.append(b"%d 0 R" % number)
        shown = b" ".join(b"/P%d %d 0 R" % (at, number + 2 + at) for at in range(len(page.pictures)))
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R" % (WIDTH, HEIGHT, number + 1)
            + b" /Resources << /Font << %s >> /XObject << %s >> >> >>" % (fonts, shown),
            _stream(b"", zlib.compress(b"\n".join(page.drawn), 6)),
            *page.pictures,
        ]
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    return _file(objects)


def breadth(text: str, *, size: float = 10, bold: bool = False) -> float:
    """How broad a line is, in points; a little more where it is bold."""
    if (embedded := _font_for(text)) is not None:
        return embedded.breadth(text) * size / 1000 + (size * _BOLD_STROKE if bold else 0)
    thousandths = sum(_WIDTHS[ord(c) - 32] if 32 <= ord(c) < 127 else 556 for c in text)
    return thousandths * size / 1000 * (_BROADEST_BOLD if bold else 1)


def wrapped(text: str, width: float, *, size: float = 10) -> Sequence[str]:
    """`text` in lines that are at most `width` points broad; a word that is broader is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and breadth(longer, size=size) > width:
            lines.append("")
            longer = word
        while breadth(longer, size=size) > width:
            cut = next(at for at in range(len(longer), 0, -1) if at == 1 or breadth(longer[:at], size=size) <= width)
            lines[-1:] = [longer[:cut], ""]
            longer = longer[cut:]
        lines[-1] = longer
    return lines


def can_write(text: str) -> bool:
    """Whether there is a letter for each of `text`, at least without its accent."""
    return _font_for(text) is not None or "?" not in _plain(text.replace("?", "")).decode("cp1252")


def _font_for(text: str) -> Font | None:
    """The embedded font, for a line with a letter that the standard fonts lack, where it has them all."""
    try:
        text.encode("cp1252")
    except UnicodeError:
        embedded = font()
        return embedded if embedded is not None and embedded.has(text) else None
    return None


def _plain(text: str) -> bytes:
    try:
        return text.encode("cp1252")
    except UnicodeError:
        folded = unicodedata.normalize("NFKD", text)
        return "".join(c for c in folded if not unicodedata.combining(c)).encode("cp1252", "replace")


def _string(text: str) -> bytes:
    """A PDF string in WinAnsi encoding (ISO 32000-1 7.3.4.2)."""
    data = _plain(text)
    for special in (b"\\", b"(", b")"):
        data = data.replace(special, b"\\" + special)
    return data.replace(b"\n", b" ").replace(b"\r", b" ")


def _stream(head: bytes, data: bytes) -> bytes:
    return b"<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (head, len(data), data)


def _file(objects: Sequence[bytes]) -> bytes:
    data, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return (
        data
        + b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
        + b"trailer\n<< /Size %d /Root 1 0 R /Info 3 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(data))
    )
