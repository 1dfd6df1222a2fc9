"""Letters that the standard fonts of PDF lack: Latin with every accent, Greek, Cyrillic; of DejaVu Sans, embedded.

`DejaVuSans-subset.ttf` has the blocks U+0020-024F, 0370-052F, 1E00-1EFF and some signs, without hinting and layout
tables (fontTools 4: `fonttools subset`); DejaVu is free to be changed and passed on, see LICENSE. Scripts that are
written from the right, or whose letters join, need more than a letter after the other and are not in it.
"""

from __future__ import annotations

import struct
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).parent / "DejaVuSans-subset.ttf"
_NAME = b"DejaVuSans"
_NONSYMBOLIC = 32
_UPRIGHT_STEM = 80


@dataclass(frozen=True, slots=True)
class Font:
    """A TrueType font (ISO/IEC 14496-22).

    Attributes:
        glyphs: the glyph of each letter.
        widths: of each glyph, in thousandths of the size.
        box: around all glyphs, in thousandths: left, bottom, right, top.
    """

    data: bytes
    glyphs: dict[str, int]
    widths: Sequence[int]
    box: tuple[int, int, int, int]

    def has(self, text: str) -> bool:
        """Whether there is a letter for each of a text."""
        return all(letter in self.glyphs for letter in composed(text))

    def breadth(self, text: str) -> int:
        """How broad a text is, in thousandths of the size."""
        return sum(self.widths[self.glyphs[letter]] for letter in composed(text))

    def written(self, text: str) -> bytes:
        """A text as a PDF string of glyphs, for the encoding Identity-H."""
        return b"<%s>" % b"".join(b"%04X" % self.glyphs[letter] for letter in composed(text))

    def objects(self, letters: set[str], first: int) -> list[bytes]:
        """The PDF objects of the font (ISO 32000-1 9.7), the one to refer to first.

        Args:
            letters: that are used, for their widths and for who searches or copies text.
            first: the number of the first object.
        """
        used = sorted((self.glyphs[letter], letter) for letter in letters)
        widths = b" ".join(b"%d [%d]" % (glyph, self.widths[glyph]) for glyph, _ in used)
        box = b" ".join(b"%d" % edge for edge in self.box)
        return [
            b"<< /Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H" % _NAME
            + b" /DescendantFonts [%d 0 R] /ToUnicode %d 0 R >>" % (first + 1, first + 4),
            b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDToGIDMap /Identity /FontDescriptor %d 0 R /W [%s]"
            % (_NAME, first + 2, widths)
            + b" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
            b"<< /Type /FontDescriptor /FontName /%s /Flags %d /FontBBox [%s] /ItalicAngle 0 /Ascent %d /Descent %d"
            % (_NAME, _NONSYMBOLIC, box, self.box[3], self.box[1])
            + b" /CapHeight %d /StemV %d /FontFile2 %d 0 R >>" % (self.box[3], _UPRIGHT_STEM, first + 3),
            _stream(self.data, b" /Length1 %d" % len(self.data)),
            _stream(_to_unicode(used)),
        ]


def composed(text: str) -> str:
    """A text with its accents on its letters, where there are such letters (Unicode NFC)."""
    return unicodedata.normalize("NFC", text)


@cache
def font() -> Font:
    """The font, read once."""
    data = _FILE.read_bytes()
    (count,) = struct.unpack_from(">H", data, 4)
    tables = {}
    for number in range(count):
        name, _, start, length = struct.unpack_from(">4sLLL", data, 12 + 16 * number)
        tables[name] = data[start : start + length]
    (units,) = struct.unpack_from(">H", tables[b"head"], 18)
    left, bottom, right, top = (1000 * edge // units for edge in struct.unpack_from(">4h", tables[b"head"], 36))
    (glyphs,) = struct.unpack_from(">H", tables[b"maxp"], 4)
    (told,) = struct.unpack_from(">H", tables[b"hhea"], 34)
    advances = [struct.unpack_from(">H", tables[b"hmtx"], 4 * glyph)[0] for glyph in range(told)]
    advances += advances[-1:] * (glyphs - told)
    widths = tuple(round(1000 * advance / units) for advance in advances)
    return Font(data, _letters(tables[b"cmap"]), widths, (left, bottom, right, top))


def _letters(cmap: bytes) -> dict[str, int]:
    """The glyphs of letters, by the subtable of format 4: segments of codes, each with an offset to its glyphs."""
    (count,) = struct.unpack_from(">H", cmap, 2)
    starts = [struct.unpack_from(">HHL", cmap, 4 + 8 * number)[2] for number in range(count)]
    start = next(start for start in starts if struct.unpack_from(">H", cmap, start)[0] == 4)
    (twice,) = struct.unpack_from(">H", cmap, start + 6)
    rows = [start + 14, start + 16 + twice, start + 16 + 2 * twice, start + 16 + 3 * twice]
    found = {}
    for segment in range(0, twice, 2):
        last, first, delta, offset = (struct.unpack_from(">H", cmap, row + segment)[0] for row in rows)
        for code in range(first, min(last, 0xFFFE) + 1):
            glyph = code
            if offset:
                (glyph,) = struct.unpack_from(">H", cmap, rows[3] + segment + offset + 2 * (code - first))
            if glyph := (glyph + delta) & 0xFFFF:
                found[chr(code)] = glyph
    return found


def _to_unicode(used: Sequence[tuple[int, str]]) -> bytes:
    """Which letter a glyph is (ISO 32000-1 9.10.3), a hundred at a time at most."""
    lines = [b"<%04X> <%04X>" % (glyph, ord(letter)) for glyph, letter in used]
    parts = [lines[at : at + 100] for at in range(0, len(lines), 100)]
    told = b"\n".join(b"%d beginbfchar\n%s\nendbfchar" % (len(part), b"\n".join(part)) for part in parts)
    return (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Letters def /CMapType 2 def\n"
        b"1 begincodespacerange <0000> <FFFF> endcodespacerange\n%s\n"
        b"endcmap CMapName currentdict /CMap defineresource pop end end" % told
    )


def _stream(data: bytes, head: bytes = b"") -> bytes:
    packed = zlib.compress(data, 9)
    return b"<< /Filter /FlateDecode /Length %d%s >>\nstream\n%s\nendstream" % (len(packed), head, packed)
