"""Explicit to Implicit VR Little Endian with pydicom, in a thread: for peers that take nothing else."""

from __future__ import annotations

import asyncio
import io
from typing import Final

import pydicom
from pydicom.uid import ImplicitVRLittleEndian

from services.archive.errors import NotDecodable

_FAULTS: Final = (AttributeError, KeyError, NotImplementedError, TypeError, ValueError, OSError)
"""What pydicom raises for what it cannot read or write."""


class PydicomWriter:
    """`ImplicitWriter` by pydicom."""

    async def implicit(self, data: bytes) -> bytes:
        """See `ImplicitWriter.implicit`."""
        return await asyncio.to_thread(_implicit, data)


def _implicit(data: bytes) -> bytes:
    try:
        ds = pydicom.dcmread(io.BytesIO(data))
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        made = io.BytesIO()
        pydicom.dcmwrite(made, ds, implicit_vr=True, little_endian=True, force_encoding=True)
    except _FAULTS:
        raise NotDecodable from None
    return made.getvalue()
