"""What a data set says of its pixels: the Image Pixel attributes (PS3.3 C.7.6.3) as one small value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from services.pixels.errors import NotDescribed

FLOAT_PIXEL_DATA: Final = "7FE00008"
DOUBLE_FLOAT_PIXEL_DATA: Final = "7FE00009"
SUBSAMPLED: Final = ("YBR_FULL_422", "YBR_PARTIAL_422")
"""What stores two samples a pixel when it is native: chrominance for every other column (PS3.3 C.7.6.3.1.2)."""

_ALLOCATED: Final = (1, 8, 16, 32, 64)
_LONGEST: Final = 65535


@dataclass(frozen=True, slots=True)
class Description:
    """Image Pixel attributes.

    Attributes:
        rows: of a frame.
        columns: of a frame.
        samples: of a pixel: 1 or 3.
        allocated: Bits Allocated: 1, 8, 16, 32 or 64.
        stored: Bits Stored.
        signed: the samples are two's complement.
        photometric: Photometric Interpretation, as the data set says.
        planar: native samples are colour by plane (Planar Configuration 1).
        floating: the pixels are Float or Double Float Pixel Data (PS3.3 C.7.6.24, C.7.6.25).
    """

    rows: int
    columns: int
    samples: int = 1
    allocated: int = 16
    stored: int = 16
    signed: bool = False
    photometric: str = "MONOCHROME2"
    planar: bool = False
    floating: bool = False

    @property
    def cell(self) -> str:
        """The type of one decoded sample, as numpy spells it; single bits are decoded into bytes."""
        kind = "f" if self.floating else "i" if self.signed else "u"
        return f"{kind}{max(self.allocated // 8, 1)}"

    @property
    def frame_bits(self) -> int:
        """Of one native frame as this description has it; frames of single bits are packed without gaps."""
        samples = 2 if self.photometric in SUBSAMPLED else self.samples
        return self.rows * self.columns * samples * self.allocated

    @property
    def decoded(self) -> Description:
        """What describes these pixels when they were compressed and are not: neither subsampled nor transformed."""
        if self.photometric in ("YBR_RCT", "YBR_ICT"):
            return replace(self, photometric="RGB")
        if self.photometric in SUBSAMPLED:
            return replace(self, photometric="YBR_FULL")
        return self

    @property
    def decoded_bytes(self) -> int:
        """Of the array that a frame is decoded into."""
        return self.rows * self.columns * self.samples * max(self.allocated // 8, 1)


def describe(attributes: Mapping[str, Any]) -> Description:
    """Read what a data set as DICOM JSON says of its pixels.

    Raises:
        NotDescribed: it does not say enough, or says what no pixels can be.
    """

    def first(tag: str) -> Any:
        return next(iter(attributes.get(tag, {}).get("Value", ())), None)

    def number(tag: str, default: int) -> int:
        value = first(tag)
        return value if isinstance(value, int) else default

    fixed = 32 if FLOAT_PIXEL_DATA in attributes else 64 if DOUBLE_FLOAT_PIXEL_DATA in attributes else 0
    allocated = fixed or number("00280100", 0)
    described = Description(
        rows=number("00280010", 0),
        columns=number("00280011", 0),
        samples=number("00280002", 1),
        allocated=allocated,
        stored=allocated if fixed else number("00280101", allocated),
        signed=not fixed and number("00280103", 0) == 1,
        photometric=str(first("00280004") or "MONOCHROME2"),
        planar=number("00280006", 0) == 1,
        floating=bool(fixed),
    )
    if not (0 < described.rows <= _LONGEST and 0 < described.columns <= _LONGEST):
        raise NotDescribed
    if described.samples not in (1, 3, 4) or allocated not in _ALLOCATED or not 0 < described.stored <= allocated:
        raise NotDescribed
    if described.photometric in SUBSAMPLED and described.samples != 3:
        raise NotDescribed
    return described
