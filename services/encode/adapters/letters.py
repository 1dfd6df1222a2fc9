"""Letters that the standard fonts of PDF lack, Latin with every accent, Greek, Cyrillic: of DejaVu Sans, embedded.

The font is the system's (Debian: `fonts-dejavu-core`). Scripts that are written from the right, or whose letters join,
need more than a letter after the other and are not written.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

_FILES: Final = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
)
_BLOCKS: Final = ((0x20, 0x24F), (0x370, 0x52F), (0x1E00, 0x1EFF), (0x2010, 0x2044), (0x20A0, 0x20BF))
"""Of Unicode: scripts in which a word is its letters side by side."""
_NONSYMBOLIC, _UPRIGHT_STEM = 32, 80


class Font:
    """A TrueType font (ISO/IEC 14496-22)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        font = TTFont(path)
        units, known = font["head"].unitsPerEm, font.getBestCmap()
        self._name = path.stem.encode("ascii")
        self._glyphs = {
            chr(code): font.getGlyphID(name)
            for code, name in known.items()
            if any(first <= code <= last for first, last in _BLOCKS)
        }
        advances = font["hmtx"].metrics
        self._widths = {letter: round(1000 * advances[known[ord(letter)]][0] / units) for letter in self._glyphs}
        head = font["head"]
        self._box = tuple(1000 * edge // units for edge in (head.xMin, head.yMin, head.xMax, head.yMax))

    def has(self, text: str) -> bool:
        """Whether there is a letter for each of a text."""
        return all(letter in self._glyphs for letter in composed(text))

    def breadth(self, text: str) -> int:
        """How broad a text is, in thousandths of the size."""
        return sum(self._widths[letter] for letter in composed(text))

    def written(self, text: str) -> bytes:
        """A text as a PDF string of glyphs, for the encoding Identity-H."""
        return b"<%s>" % b"".join(b"%04X" % self._glyphs[letter] for letter in composed(text))

    def objects(self, letters: set[str], first: int) -> list[bytes]:
        """The PDF objects of the font (ISO 32000-1 9.7), the one to refer to first.

        Args:
            letters: that are used: the others are not embedded.
            first: the number of the first object.
        """
        used = sorted((self._glyphs[letter], letter) for letter in letters)
        widths = b" ".join(b"%d [%d]" % (glyph, self._widths[letter]) for glyph, letter in used)
        box, data = b" ".join(b"%d" % edge for edge in self._box), self._subset(letters)
        return [
            b"<< /Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H" % self._name
            + b" /DescendantFonts [%d 0 R] /ToUnicode %d 0 R >>" % (first + 1, first + 4),
            b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDToGIDMap /Identity /FontDescriptor %d 0 R /W [%s]"
            % (self._name, first + 2, widths)
            + b" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
            b"<< /Type /FontDescriptor /FontName /%s /Flags %d /FontBBox [%s] /ItalicAngle 0 /Ascent %d /Descent %d"
            % (self._name, _NONSYMBOLIC, box, self._box[3], self._box[1])
            + b" /CapHeight %d /StemV %d /FontFile2 %d 0 R >>" % (self._box[3], _UPRIGHT_STEM, first + 3),
            _stream(data, b" /Length1 %d" % len(data)),
            _stream(_to_unicode(used)),
        ]

    def _subset(self, letters: set[str]) -> bytes:
        """The font with these letters alone, each at its old number; the same letters make the same bytes."""
        options = Options(retain_gids=True, hinting=False, layout_features=[], name_IDs=[], notdef_outline=True)
        font: Any = TTFont(self._path, recalcTimestamp=False)
        subsetter = Subsetter(options)
        subsetter.populate(text="".join(letters))
        subsetter.subset(font)
        made = BytesIO()
        font.save(made)
        return made.getvalue()


def composed(text: str) -> str:
    """A text with its accents on its letters, where there are such letters (Unicode NFC)."""
    return unicodedata.normalize("NFC", text)


@cache
def font() -> Font | None:
    """The font, read once; None where the system has none."""
    found = next((path for path in map(Path, _FILES) if path.is_file()), None)
    return Font(found) if found is not None else None


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
