"""The result file (`result.npz`), schema 2: the arrays that the card promises, and JSON that says what they are."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from math import isfinite
from zlib import error as ZlibError  # noqa: N812  # an exception, whatever zlib calls it

import numpy as np

from services.contracts.tensors import promised
from services.inference.model import Outcome

_SCHEMA = 2


class NpzResults:
    """A `services.inference.ports.ResultFormat`. No pickles."""

    def pack(self, outcome: Outcome) -> bytes:
        """The bytes of the file; see the port."""
        geometry = outcome.geometry
        is_placed = geometry.origin is not None
        meta = {
            "schema": _SCHEMA,
            "job_id": outcome.job_id,
            "model": outcome.card.name,
            "model_version": outcome.card.version,
            "arrays": promised(outcome.card),
            "frames": outcome.frames,
            "spacing": [step if isfinite(step) else None for step in geometry.spacing],
            "direction": geometry.direction.tolist() if is_placed else None,
            "origin": geometry.origin,
            "card": dict(outcome.card.source),
            "compute": dict(outcome.compute),
        }
        arrays = {str(name): array for name, array in outcome.prediction.arrays().items()}
        file = BytesIO()
        np.savez_compressed(
            file,
            allow_pickle=False,
            **arrays,  # never `file` or `allow_pickle`
            meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
        )
        return file.getvalue()

    def is_whole(self, data: bytes, job_id: str) -> bool:
        """Whether every part of the file is there and undamaged, and it is the job's; see the port."""
        try:
            with zipfile.ZipFile(BytesIO(data)) as archive:
                if "meta.npy" not in archive.namelist() or archive.testzip() is not None:
                    return False
                with archive.open("meta.npy") as member:
                    meta = json.loads(np.lib.format.read_array(member, allow_pickle=False).tobytes())
                named = {f"{name}.npy" for name in meta["arrays"]}
                whole = set(archive.namelist()) == named | {"meta.npy"}
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, ZlibError, NotImplementedError, KeyError, TypeError):
            return False
        return whole and meta.get("schema") == _SCHEMA and meta.get("job_id") == job_id
