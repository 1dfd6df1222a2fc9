"""A page of PDF 1.4 (ISO 32000-1): text in the standard fonts and pictures. What we need of it is a hundred lines.

The same words and pictures make the same bytes: no date, no random id. The standard fonts know Western European
letters alone; what they have no letter for is written without its accents, or as `?`.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 595, 842
"""A4, in points."""
_FONTS = {"F1": "Helvetica", "F2": "Helvetica-Bold"}


class Page:
    """A page to write on, from above; the origin is the upper left corner."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._drawn: list[bytes] = []
        self._pictures: list[bytes] = []

    def text(self, x: float, y: float, text: str, *, size: float = 10, bold: bool = False) -> None:
        """Write a line whose baseline is at `y`."""
        font = "F2" if bold else "F1"
        self._drawn.append(b"BT /%s %g Tf %g %g Td (%s) Tj ET" % (font.encode(), size, x, HEIGHT - y, _string(text)))

    def line(self, x: float, y: float, width: float) -> None:
        """Draw a thin line to the right."""
        self._drawn.append(b"0.5 w %g %g m %g %g l S" % (x, HEIGHT - y, x + width, HEIGHT - y))

    def picture(self, x: float, y: float, width: float, height: float, pixels: NDArray[np.uint8]) -> None:
        """Show an RGB picture whose upper left corner is at `x`, `y`."""
        rows, columns = pixels.shape[:2]
        name = len(self._pictures)
        data = zlib.compress(np.ascontiguousarray(pixels).tobytes(), 6)
        head = b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB /BitsPerComponent 8"
        self._pictures.append(_stream(head % (columns, rows), data))
        self._drawn.append(b"q %g 0 0 %g %g %g cm /P%d Do Q" % (width, height, x, HEIGHT - y - height, name))

    def to_bytes(self) -> bytes:
        """The document."""
        fonts = b" ".join(
            b"/%s << /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>"
            % (name.encode(), font.encode())
            for name, font in _FONTS.items()
        )
        first = 6
        shown = b" ".join(b"/P%d %d 0 R" % (number, first + number) for number in range(len(self._pictures)))
        objects = [
            b"<< /Type /Catalog /Pages 2 0 R /Lang (en) >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R" % (WIDTH, HEIGHT)
            + b" /Resources << /Font << %s >> /XObject << %s >> >> >>" % (fonts, shown),
            _stream(b"", zlib.compress(b"\n".join(self._drawn), 6)),
            b"<< /Title (%s) >>" % _string(self._title),
            *self._pictures,
        ]
        return _file(objects)


def wrapped(text: str, width: int) -> Sequence[str]:
    """`text` in lines of at most `width` characters."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _string(text: str) -> bytes:
    """A PDF string in WinAnsi encoding (ISO 32000-1 7.3.4.2)."""
    try:
        data = text.encode("cp1252")
    except UnicodeError:
        folded = unicodedata.normalize("NFKD", text)
        data = "".join(c for c in folded if not unicodedata.combining(c)).encode("cp1252", "replace")
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
        + b"trailer\n<< /Size %d /Root 1 0 R /Info 5 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(data))
    )
