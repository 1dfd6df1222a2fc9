"""Files and made images, drawn; and how DCMTK's `dcm2pnm` draws them."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset

from services.dicom import part10
from services.dicom.frames import swapped
from services.dicom.part10 import ParsedInstance, parse_instance
from services.pixels import description
from services.pixels.decoding import decode
from services.pixels.rendering.drawing import draw
from services.pixels.rendering.picture import Picture, describe
from services.pixels.rendering.view import View
from services.pixels.rendering.windowing import Lut, Window
from tests.unit.dicom.samples import file_of, minimal


def made(pixels: NDArray[Any], **attributes: Any) -> bytes:
    """A file with these pixels, rows × columns of grey or × 3 of colour, in as many bits as they have."""
    bits = 8 * pixels.dtype.itemsize
    grey = pixels.ndim == 2
    ds = minimal(
        Modality="OT",
        Rows=pixels.shape[0],
        Columns=pixels.shape[1],
        SamplesPerPixel=1 if grey else 3,
        PhotometricInterpretation="MONOCHROME2" if grey else "RGB",
        BitsAllocated=bits,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=int(pixels.dtype.kind == "i"),
    )
    if not grey:
        ds.PlanarConfiguration = 0
    for keyword, value in attributes.items():
        if value is None:
            del ds[keyword]
        elif keyword.startswith("x"):
            ds.add_new(int(keyword[1:], 16), *value)  # ("OW", b"..."), by tag
        else:
            setattr(ds, keyword, value)
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    ds["PixelData"].VR = "OW" if bits > 8 else "OB"
    return file_of(ds)


def item(**attributes: object) -> list[Dataset]:
    """A sequence of one item."""
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return [ds]


class Opened:
    """A file, read as the archive reads it."""

    def __init__(self, data: bytes) -> None:
        self.parsed: ParsedInstance = parse_instance(data)
        self.dataset: FileDataset = pydicom.dcmread(io.BytesIO(data))
        layout = self.parsed.layout
        self._data = part10.inflated(data) if layout.deflated else data

    def fetch(self, path: str) -> bytes:
        """Bulk data, as little endian."""
        place = self.parsed.layout.bulk[path]
        content = self._data[place.offset : place.offset + place.length]
        return swapped(content, 2) if self.parsed.layout.big_endian else content

    def picture(self, number: int = 1, *, icc: bool = False) -> Picture:
        """What the data set says of a frame."""
        return describe(self.parsed.attributes, number, self.fetch, icc=icc)

    def pixels(self, number: int = 1) -> tuple[NDArray[Any], str]:
        """The frame, and its photometric interpretation after decoding."""
        layout = self.parsed.layout
        assert layout.frames is not None
        span = layout.frames.span(number)
        encoded = span.take(self._data[span.offset : span.offset + span.length], big_endian=layout.big_endian)
        decoded = decode(encoded, self.parsed.transfer_syntax_uid, description.describe(self.parsed.attributes))
        return decoded.array, decoded.photometric

    def drawn(self, number: int = 1, view: View = View()) -> NDArray[np.uint8]:  # noqa: B008  # frozen
        """The frame as it is shown."""
        return draw(*self.pixels(number), self.picture(number), view).pixels


def drawn(data: bytes, number: int = 1, view: View = View()) -> NDArray[np.uint8]:  # noqa: B008  # frozen
    """A frame of a file as it is shown."""
    return Opened(data).drawn(number, view)


def by_dcmtk(path: Path, picture: Picture, number: int = 1) -> NDArray[np.uint8]:
    """The same by DCMTK, told to do what the data set says first."""
    syntax = str(pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    tool = "dcml2pnm" if syntax.endswith((".4.80", ".4.81")) else "dcmj2pnm"
    voi: list[str] = []
    if picture.samples == 1 and picture.palette is None:
        match picture.grey.voi:
            case Window():
                voi = ["+Wi", "1"]
            case Lut():
                voi = ["+Wl", "1"]
            case None:
                voi = ["+Wm"]
    command = [tool, "--quiet", "--write-raw-pnm", "+F", str(number), *voi, str(path)]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return np.asarray(Image.open(io.BytesIO(answer.stdout)))
