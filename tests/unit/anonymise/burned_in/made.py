"""Instances with pixels of our own, in any transfer syntax, and cleaners to put them through."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from services.anonymise.burned_in.cleaner import BurnedIn
from services.anonymise.burned_in.devices import DeviceRule
from services.anonymise.burned_in.model import Decision
from services.anonymise.burned_in.workers import Workers
from services.anonymise.engine.deidentifying import Policy, deidentify
from services.anonymise.engine.kinds import Kind
from services.anonymise.engine.options import Option
from services.anonymise.engine.profile import Profile
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.dicom.transfer_syntaxes import EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from services.pixels.decoding import Decoded, native
from services.pixels.description import Description
from services.pixels.encoding import encode
from services.pixels.syntaxes import native as is_native

CT, US, SECONDARY = (f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2", "6.1", "7"))
ALL = Profile("all", kinds=frozenset(Kind))
ASKED = Profile("asked", kinds=frozenset(Kind), options=frozenset((Option.CLEAN_PIXEL_DATA,)))


def instance(
    array: NDArray[Any],
    syntax: str = "1.2.840.10008.1.2.1",
    *,
    sop_class: str = SECONDARY,
    photometric: str = "",
    frames: int = 1,
    allocated: int = 0,
    **more: Any,
) -> bytes:
    """A PS3.10 file of (frames ×) rows × columns (× samples)."""
    stacked = array if frames > 1 else array[None]
    samples = stacked.shape[3] if stacked.ndim == 4 else 1
    bits = allocated or 8 * array.dtype.itemsize
    photometric = photometric or ("RGB" if samples == 3 else "MONOCHROME2")
    described = Description(
        rows=stacked.shape[1],
        columns=stacked.shape[2],
        samples=samples,
        allocated=bits,
        stored=bits,
        signed=array.dtype.kind == "i",
        photometric=photometric,
    )
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), UID("1.2.3.4")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    ds.PatientName, ds.PatientID, ds.Modality = "Doe^Jane", "4711", "OT"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = described.rows, described.columns, samples
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelRepresentation, ds.PhotometricInterpretation = int(described.signed), photometric
    if samples == 3:
        ds.PlanarConfiguration = 0
    if frames > 1:
        ds.NumberOfFrames = frames
    for name, value in more.items():
        setattr(ds, name, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    decoded = [Decoded(frame, photometric) for frame in stacked]
    if is_native(syntax):
        if bits == 1:
            value = native(Decoded(np.concatenate(list(stacked)), photometric), described)
        else:
            value = b"".join(native(frame, described) for frame in decoded)
        if syntax == EXPLICIT_BIG_ENDIAN and bits > 8:
            value = np.frombuffer(value, f"<u{bits // 8}").byteswap().tobytes()
        ds.PixelData = value + b"\0" * (len(value) % 2)
    else:
        made = [encode(frame, syntax, described) for frame in decoded]
        ds.PhotometricInterpretation = made[0].photometric
        ds.PixelData = encapsulate([one.data for one in made])
    ds["PixelData"].VR = "OW" if bits > 8 and is_native(syntax) else "OB"
    ds["PixelData"].is_undefined_length = not is_native(syntax)
    out = io.BytesIO()
    pydicom.dcmwrite(
        out,
        ds,
        implicit_vr=syntax == IMPLICIT_LITTLE_ENDIAN,
        little_endian=syntax != EXPLICIT_BIG_ENDIAN,
        enforce_file_format=True,
    )
    return out.getvalue()


def cleaner(workers: Workers, *, rules: tuple[DeviceRule, ...] = (), decision: Decision | None = None) -> BurnedIn:
    """A cleaner for which a person has decided all alike."""
    return BurnedIn(rules=rules, workers=workers, decided=lambda _: decision)


def cleaned(data: bytes, pixels: BurnedIn, profile: Profile = ALL) -> pydicom.FileDataset:
    """What becomes of an instance."""
    done = deidentify(data, Policy(Pseudonyms(b"k" * 32), profile, pixels))
    return pydicom.dcmread(io.BytesIO(done.data))
