"""What the data set says of one frame's display, out of its DICOM JSON: a small value that names all there is to do."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from services.pixels.rendering.overlays import Overlay
from services.pixels.rendering.palettes import Channel, Palette
from services.pixels.rendering.windowing import Function, Greyscale, Lut, Rescale, Window

Json = Mapping[str, Any]
Fetch = Callable[[str], bytes]
"""Gives bulk data by the path in its BulkDataURI, as little endian."""

_SHARED, _PER_FRAME = "52009229", "52009230"
_ANGIOGRAPHY: Final = ("1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2", "1.2.840.10008.5.1.4.1.1.12.3")
_ALLOCATED: Final = (1, 8, 16, 32, 64)
_LARGEST: Final = 2**31 - 1
_FLOATING: Final = {"7FE00008": 32, "7FE00009": 64}


@dataclass(frozen=True, slots=True)
class Picture:
    """How the pixels of a frame are to be shown.

    Attributes:
        rows: of the image.
        columns: of the image.
        samples: of a pixel.
        photometric: Photometric Interpretation, as the data set says.
        grey: how samples become grey levels; of a colour image, what its samples are.
        palette: the colours of a palette image, or of one with a supplemental palette.
        overlays: planes to lay over it.
        aspect: height of a pixel by its width.
        icc: the ICC profile of its colours, or nothing.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    grey: Greyscale
    palette: Palette | None = None
    overlays: tuple[Overlay, ...] = ()
    aspect: float = 1.0
    icc: bytes = b""


def describe(attributes: Json, number: int, fetch: Fetch, *, icc: bool = False) -> Picture:
    """Read what matters for a frame.

    Args:
        attributes: the data set as DICOM JSON.
        number: of the frame, from 1.
        fetch: gives the bulk data of the tables and overlays that the frame needs.
        icc: the profile is wanted as well.
    """
    data = _Reader(attributes, number, fetch)
    samples = data.integer("00280002", 1)
    photometric = data.text("00280004")
    grey = _greyscale(data, photometric)
    palette = None
    if photometric == "PALETTE COLOR":
        palette = _palette(data, supplemental=False)
    elif samples == 1 and data.text("00089205") in ("COLOR", "MIXED") and "00281101" in attributes:
        palette = _palette(data, supplemental=True)
    return Picture(
        rows=data.integer("00280010", 0),
        columns=data.integer("00280011", 0),
        samples=samples,
        photometric=photometric,
        grey=grey,
        palette=palette,
        overlays=_overlays(data, number),
        aspect=_aspect(data),
        icc=_icc(data) if icc else b"",
    )


def with_window(picture: Picture, window: Window | None) -> Picture:
    """The same, with another window in place of its own VOI; None keeps its own."""
    return picture if window is None else replace(picture, grey=replace(picture.grey, voi=window))


class _Reader:
    """Reads values; those of a frame's functional groups before those of the top level (PS3.3 C.7.6.16)."""

    def __init__(self, attributes: Json, number: int, fetch: Fetch) -> None:
        self._attributes = attributes
        self._fetch = fetch
        shared = _items(attributes, _SHARED)[:1]
        frames = _items(attributes, _PER_FRAME)[number - 1 : number]
        self._groups: tuple[Json, ...] = (*frames, *shared)

    def group(self, tag: str) -> Json:
        """The item of a functional group; without one, the top level."""
        for group in self._groups:
            if items := _items(group, tag):
                return items[0]
        return self._attributes

    def item(self, tag: str, within: Json | None = None) -> Json | None:
        """The first item of a sequence."""
        items = _items(self._attributes if within is None else within, tag)
        return items[0] if items else None

    def numbers(self, tag: str, within: Json | None = None) -> list[float]:
        """The values that are finite numbers, up to the first that is none."""
        found = []
        for value in (self._attributes if within is None else within).get(tag, {}).get("Value", ()):
            number = _number(value)
            if number is None:
                break
            found.append(number)
        return found

    def integers(self, tag: str, within: Json | None = None) -> list[int]:
        """The same as integers of 32 bits at most."""
        return [int(min(max(value, -_LARGEST), _LARGEST)) for value in self.numbers(tag, within)]

    def integer(self, tag: str, default: int, within: Json | None = None) -> int:
        found = self.integers(tag, within)
        return found[0] if found else default

    def text(self, tag: str, within: Json | None = None) -> str:
        values = (self._attributes if within is None else within).get(tag, {}).get("Value") or ("",)
        return str(values[0])

    def vr(self, tag: str) -> str:
        return str(self._attributes.get(tag, {}).get("vr", ""))

    def binary(self, tag: str, within: Json | None = None) -> bytes:
        """Bytes, whichever way the metadata has them; numbers as words of 16 bits."""
        element = (self._attributes if within is None else within).get(tag, {})
        if "InlineBinary" in element:
            return base64.b64decode(element["InlineBinary"])
        if "BulkDataURI" in element:
            return self._fetch(str(element["BulkDataURI"]).rpartition("/")[2])
        return b"".join((value & 0xFFFF).to_bytes(2, "little") for value in self.integers(tag, within))

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._attributes)


def _items(data: Json, tag: str) -> list[Json]:
    # An element of a sequence's tag may have been written with another VR.
    return [each for each in data.get(tag, {}).get("Value", ()) if isinstance(each, Mapping)]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _greyscale(data: _Reader, photometric: str) -> Greyscale:
    floating = next((bits for tag, bits in _FLOATING.items() if tag in data.tags), 0)
    allocated = floating or data.integer("00280100", 16)
    allocated = allocated if allocated in _ALLOCATED else 16  # decoding will refuse it
    stored = min(max(data.integer("00280101", allocated), 1), allocated)
    high = data.integer("00280102", stored - 1)
    signed = data.integer("00280103", 0) == 1
    # The lowest value is white: by the photometric interpretation, or by the presentation LUT (PS3.3 C.11.4).
    inverse = photometric == "MONOCHROME1" or data.text("20500020") == "INVERSE"
    return Greyscale(
        allocated=allocated,
        stored=stored,
        high=high if stored - 1 <= high < allocated else stored - 1,
        signed=signed,
        modality=_modality(data, signed),
        voi=_voi(data),
        inverse=inverse,
        padding=_padding(data, signed),
    )


def _modality(data: _Reader, signed: bool) -> Rescale | Lut | None:
    # Of angiography, it makes pixels proportional to X-rays, not fit for display (PS3.3 C.8.7.1.1.2).
    if data.text("00080016") in _ANGIOGRAPHY and data.text("00281040") in ("LOG", "DISP"):
        return None
    if (item := data.item("00283000")) and (lut := _lut(data, item, signed=signed)):
        return lut
    group = data.group("00289145")
    slope, intercept = data.numbers("00281053", group), data.numbers("00281052", group)
    if not slope or slope[0] == 0 or not intercept or (slope[0] == 1 and intercept[0] == 0):
        return None
    return Rescale(slope[0], intercept[0])


def _voi(data: _Reader) -> Window | Lut | None:
    group = data.group("00289132")
    if (item := data.item("00283010", group)) and (lut := _lut(data, item, signed=False)):
        return lut
    centers, widths = data.numbers("00281050", group), data.numbers("00281051", group)
    if not centers or not widths:
        return None
    try:
        function = Function(data.text("00281056", group) or "LINEAR")
    except ValueError:
        function = Function.LINEAR
    # A linear window narrower than 1 is of an image of small real values: it means what the exact one says.
    if function is Function.LINEAR and 0 < widths[0] < 1:
        function = Function.LINEAR_EXACT
    window = Window(centers[0], widths[0], function)
    return window if window.valid else None


def _lut(data: _Reader, item: Json, *, signed: bool) -> Lut | None:
    descriptor = data.integers("00283002", item)
    if len(descriptor) < 3:
        return None
    entries, first, bits = descriptor[:3]
    entries = entries & 0xFFFF or 65536
    if signed and first > 32767:  # written as unsigned
        first -= 65536
    content = data.binary("00283006", item)
    if len(content) < 2 * entries:  # entries of 8 bits, one a byte
        content = b"".join(bytes((value, 0)) for value in content[:entries])
    if not content or not 1 <= bits <= 16:
        return None
    return Lut(first, bits, content[: 2 * entries])


def _padding(data: _Reader, signed: bool) -> tuple[int, int] | None:
    first = data.integers("00280120")
    if not first:
        return None
    ends = [first[0], *(data.integers("00280121")[:1] or first[:1])]
    values = [end - (1 << 16) if signed and 32767 < end < 1 << 16 else end for end in ends]
    return min(values), max(values)


def _palette(data: _Reader, *, supplemental: bool) -> Palette | None:
    signed = data.integer("00280103", 0) == 1
    channels = []
    for number in (1, 2, 3):
        descriptor = data.integers(f"0028110{number}")
        if len(descriptor) < 3:
            return None
        entries, first, bits = descriptor[:3]
        if signed and first > 32767:
            first -= 65536
        segments = data.binary(f"0028122{number}")
        content = segments or data.binary(f"0028120{number}")
        channels.append(Channel(entries & 0xFFFF or 65536, first, bits, content, segmented=bool(segments)))
    red, green, blue = channels
    return Palette(red, green, blue, supplemental=supplemental)


def _overlays(data: _Reader, number: int) -> tuple[Overlay, ...]:
    found = []
    for group in sorted({tag[:4] for tag in data.tags if tag.startswith("60") and tag[4:] in ("3000", "0102")}):
        rows, columns = data.integer(f"{group}0010", 0), data.integer(f"{group}0011", 0)
        top, left = (*data.integers(f"{group}0050"), 1, 1)[:2]
        planes = data.integer(f"{group}0015", 0)
        first = data.integer(f"{group}0051", 1 if planes else 0)
        if rows <= 0 or columns <= 0 or (first and not first <= number < first + max(planes, 1)):
            continue  # it has no plane for this frame
        content = data.binary(f"{group}3000")
        if content:
            skip = (number - first) * rows * columns if planes else 0
            found.append(Overlay(rows, columns, top, left, content, skip=skip))
        elif data.integer(f"{group}0100", 1) > 1:
            found.append(Overlay(rows, columns, bit=data.integer(f"{group}0102", 0)))
    return tuple(found)


def _aspect(data: _Reader) -> float:
    """Height of a pixel by its width (PS3.3 C.7.6.3.1.7); spacings tell it as well (PS3.3 10.7.1.1)."""
    measures = data.group("00289110")
    for tag, within in (("00280030", measures), ("00181164", None), ("00182010", None), ("00280034", None)):
        pair = data.numbers(tag, within)[:2]
        if len(pair) == 2 and min(pair) > 0:
            return pair[0] / pair[1]
    return 1.0


def _icc(data: _Reader) -> bytes:
    profile = data.binary("00282000")
    if not profile and (path := data.item("00480105")):
        profile = data.binary("00282000", path)
    return profile
