"""The list of what `anonymise` has released for a job (`jobs/<job_id>/input/manifest.json`)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from services.contracts.events import JobReleased
from services.contracts.work import input_key
from services.inference.errors import InputDamaged

_SCHEMA = 1
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One released instance.

    Attributes:
        key: its place in the work store.
        sop_instance_uid: pseudonymous.
        sha256: of its bytes, hex.
    """

    key: str
    sop_instance_uid: str
    sha256: str


def read_manifest(data: bytes, event: JobReleased) -> tuple[Entry, ...]:
    """The entries of the manifest that `event` announced.

    Raises:
        InputDamaged: it cannot be read, belongs to another job, or holds other instances than announced.
    """
    entries = entries_of(data, event.job_id, event.model, event.model_version)
    if len(entries) != event.instances:
        raise InputDamaged(f"holds {len(entries)} instances where {event.instances} were announced")
    return entries


def entries_of(data: bytes, job_id: str, model: str, version: str) -> tuple[Entry, ...]:
    """The entries of a job's manifest.

    Raises:
        InputDamaged: it cannot be read, or belongs to another job.
    """
    try:
        manifest = json.loads(data)
        told = (manifest["schema"], manifest["job_id"], manifest["model"], manifest["model_version"])
        files = [str(item["file"]) for item in manifest["instances"]]
        entries = tuple(
            Entry(input_key(job_id, file), str(item["sop_instance_uid"]), str(item["sha256"]))
            for file, item in zip(files, manifest["instances"], strict=True)
        )
    except (ValueError, KeyError, TypeError):
        raise InputDamaged("has a manifest that cannot be read") from None
    if told != (_SCHEMA, job_id, model, version):
        raise InputDamaged("has the manifest of another job, or of a form that is not known here")
    if not all(_FILE.fullmatch(file) for file in files):
        raise InputDamaged("names files that cannot be")
    if len({entry.sop_instance_uid for entry in entries}) != len(entries):
        raise InputDamaged("holds an instance twice")
    return entries
