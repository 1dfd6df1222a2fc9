"""The result file of the compute zone (`result.npz`), read with suspicion: sizes first, no pickles, one model."""

from __future__ import annotations

import hashlib
import hmac
import json
import zipfile
from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from typing import Any
from zlib import error as ZlibError  # noqa: N812  # an exception, whatever zlib calls it

import numpy as np

from services.contracts.card import CardError, ModelCard
from services.contracts.events import JobInferred
from services.encode.errors import CardMismatch, ResultDamaged
from services.encode.result import ARRAY_NAMES, Arrays, FrameName, InferredResult

_META = "meta"
_SCHEMAS = (1, 2)
"""Schema 1 names an instance a plane and no frames; it is read until nothing writes it any more."""


def unpack(event: JobInferred, data: bytes, made_at: datetime, *, max_bytes: int) -> InferredResult:
    """The result in `data`, which must be the one that `event` tells of.

    Args:
        event: it names the job, the model and the digest of the bytes.
        data: the npz file.
        made_at: when it was written.
        max_bytes: what the arrays may take unpacked.

    Raises:
        ResultDamaged: it is another one, or cannot be read.
        CardMismatch: it does not fit its card.
    """
    if not hmac.compare_digest(hashlib.sha256(data).hexdigest(), event.digest):
        raise ResultDamaged("is not the one that was announced")
    arrays = _arrays(data, max_bytes)
    meta = _meta(arrays.pop(_META))
    try:
        frames = tuple(_frame(frame) for frame in meta["frames"])
        card = ModelCard.from_mapping(meta["card"])
        told = (meta["job_id"], meta["model"], meta["model_version"])
    except CardError:  # its text may quote the card, which came across the airlock
        raise CardMismatch("the card itself is malformed") from None
    except (KeyError, TypeError, ValueError):
        raise ResultDamaged("does not say what it is") from None
    if told != (event.job_id, event.model, event.model_version) or (card.name, card.version) != told[1:]:
        raise ResultDamaged("belongs to another job or model")
    return InferredResult(event.job_id, card, frames, Arrays(**arrays), made_at)


def _frame(item: Any) -> FrameName:
    if isinstance(item, str):
        return FrameName(item)
    uid, number = item
    return FrameName(str(uid), int(number))


def _arrays(data: bytes, max_bytes: int) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            sizes = {item.filename: item.file_size for item in archive.infolist()}
            if sum(sizes.values()) > max_bytes:
                raise ResultDamaged("is larger than PLEXUS_ENCODE_RESULT_MAX_BYTES allows")
            arrays = {}
            for name in (_META, *(name for name in ARRAY_NAMES if f"{name}.npy" in sizes)):
                with archive.open(f"{name}.npy") as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
            return arrays
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError, ZlibError, NotImplementedError):
        raise ResultDamaged("cannot be read") from None


def _meta(array: Any) -> Mapping[str, Any]:
    try:
        meta = json.loads(array.tobytes().decode())
    except ValueError:
        raise ResultDamaged("does not say what it is") from None
    if not isinstance(meta, dict) or meta.get("schema") not in _SCHEMAS:
        raise ResultDamaged("is of a form that is not known here")
    return meta
