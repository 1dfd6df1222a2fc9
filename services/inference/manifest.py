"""The list of what `anonymise` has released for a job (`jobs/<job_id>/input/manifest.json`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was released.

    Attributes:
        entries: of the series that the job is about.
        more: of the series beside it, by the names of the card's inputs.
    """

    entries: tuple[Entry, ...]
    more: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

    @property
    def instances(self) -> int:
        """How many, of all series."""
        return len(self.entries) + sum(len(entries) for entries in self.more.values())


def read_manifest(data: bytes, event: JobReleased) -> Manifest:
    """The manifest that `event` announced.

    Raises:
        InputDamaged: it cannot be read, belongs to another job, or holds other instances than announced.
    """
    found = manifest_of(data, event.job_id, event.model, event.model_version)
    if found.instances != event.instances:
        raise InputDamaged(f"holds {found.instances} instances where {event.instances} were announced")
    return found


def manifest_of(data: bytes, job_id: str, model: str, version: str) -> Manifest:
    """The manifest of a job.

    Raises:
        InputDamaged: it cannot be read, or belongs to another job.
    """
    try:
        manifest = json.loads(data)
        told = (manifest["schema"], manifest["job_id"], manifest["model"], manifest["model_version"])
        found = Manifest(
            _entries(manifest["instances"], job_id),
            {str(name): _entries(items, job_id) for name, items in manifest.get("inputs", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputDamaged("has a manifest that cannot be read") from None
    if told != (_SCHEMA, job_id, model, version):
        raise InputDamaged("has the manifest of another job, or of a form that is not known here")
    every = [entry for entries in (found.entries, *found.more.values()) for entry in entries]
    if not all(_FILE.fullmatch(entry.key.removeprefix(input_key(job_id, ""))) for entry in every):
        raise InputDamaged("names files that cannot be")
    if len({entry.sop_instance_uid for entry in every}) != len(every):
        raise InputDamaged("holds an instance twice")
    return found


def _entries(items: Any, job_id: str) -> tuple[Entry, ...]:
    return tuple(
        Entry(input_key(job_id, str(item["file"])), str(item["sop_instance_uid"]), str(item["sha256"]))
        for item in items
    )
