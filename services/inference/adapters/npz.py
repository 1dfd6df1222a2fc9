"""The result file (`result.npz`), schema 2: the arrays that the card promises, and JSON that says what they are."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from math import isfinite
from zlib import error as ZlibError  # noqa: N812  # an exception, whatever zlib calls it

import numpy as np

from services.contracts.card import CardError, ModelCard
from services.contracts.tensors import Output, promised
from services.inference.errors import InputDamaged
from services.inference.model import Answer, Outcome

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

    def unpack(self, data: bytes, job_id: str) -> Answer:
        """What the file says; see the port."""
        if not self.is_whole(data, job_id):
            raise InputDamaged("lies beside a result that is not whole")
        with np.load(BytesIO(data), allow_pickle=False) as file:
            meta = json.loads(file["meta"].tobytes())
            arrays = {Output(name): file[name] for name in meta["arrays"]}
        try:
            card = ModelCard.from_mapping(meta["card"])
            frames = tuple((str(uid), int(number)) for uid, number in meta["frames"])
            seconds = float(meta["compute"].get("infer_seconds", 0))
        except (CardError, AttributeError, KeyError, TypeError, ValueError):
            raise InputDamaged("lies beside a result that does not say what it is") from None
        return Answer(card, frames, arrays, seconds)
