"""The result file (`result.npz`): labels, measurements, and JSON that says what they are. No pickles."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from zlib import error as ZlibError  # noqa: N812  # an exception, whatever zlib calls it

import numpy as np

from services.inference.model import Outcome

_SCHEMA = 1
_ARRAYS = {"labels.npy", "measurements.npy", "meta.npy"}


class NpzResults:
    """A `services.inference.ports.ResultFormat`."""

    def pack(self, outcome: Outcome) -> bytes:
        """The bytes of the file; see the port."""
        meta = {
            "schema": _SCHEMA,
            "job_id": outcome.job_id,
            "model": outcome.card.name,
            "model_version": outcome.card.version,
            "frames": outcome.frames,
            "spacing": outcome.geometry.spacing,
            "card": dict(outcome.card.source),
            "compute": dict(outcome.compute),
        }
        file = BytesIO()
        np.savez_compressed(
            file,
            allow_pickle=False,
            labels=outcome.prediction.labels,
            measurements=outcome.prediction.measurements,
            meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
        )
        return file.getvalue()

    def is_whole(self, data: bytes, job_id: str) -> bool:
        """Whether every part of the file is there and undamaged, and it is the job's; see the port."""
        try:
            with zipfile.ZipFile(BytesIO(data)) as archive:
                if set(archive.namelist()) != _ARRAYS or archive.testzip() is not None:
                    return False
                with archive.open("meta.npy") as member:
                    meta = json.loads(np.lib.format.read_array(member, allow_pickle=False).tobytes())
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, ZlibError, NotImplementedError):
            return False
        return isinstance(meta, dict) and meta.get("job_id") == job_id
