"""Use case: de-identify what somebody hands in, and keep a record of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.anonymise.engine.deidentifying import PixelCleaner, Policy, deidentify
from services.anonymise.engine.elements import read_file
from services.anonymise.errors import RefusedError
from services.anonymise.model import DeidentifiedInstance
from services.anonymise.ports import Releases
from services.anonymise.records import record
from services.chassis.principal import Principal
from services.contracts.events import Action, Outcome

_SERIES_INSTANCE_UID = 0x0020000E


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What may leave, and how many may not, by reason."""

    instances: tuple[DeidentifiedInstance, ...]
    refused: Mapping[str, int]


async def deidentify_all(
    files: Sequence[bytes], *, principal: Principal, policy: Policy, releases: Releases
) -> Cleaned:
    """De-identify PS3.10 files. That it was done, and for whom, is on record before the answer is given.

    Pseudonyms are those of the site's key, so they fit what was released for jobs; no way back is kept.
    """
    refused: Counter[str] = Counter()
    instances: list[DeidentifiedInstance] = []
    for series in await asyncio.to_thread(_by_series, files, policy):
        pixels: PixelCleaner | None = None
        if policy.removes_faces:
            try:
                pixels = await asyncio.to_thread(_of_series, series, policy)
            except RefusedError as fault:  # a face is in no single instance: one that cannot be judged keeps all in
                refused[fault.code] += len(series)
                continue
        for file in series:
            try:
                # A thread: other work of this process goes on meanwhile.
                instances.append(await asyncio.to_thread(deidentify, file, policy, pixels))
            except RefusedError as fault:
                refused[fault.code] += 1
    facts = [record(Action.DEIDENTIFY, Outcome.SUCCESS, principal, instances=len(instances))] if instances else []
    facts += [
        record(Action.DEIDENTIFY, Outcome.REFUSED, principal, instances=number, reason_code=code)
        for code, number in refused.items()
    ]
    await releases.say([(fact, None) for fact in facts])
    return Cleaned(tuple(instances), refused)


def _by_series(files: Sequence[bytes], policy: Policy) -> Sequence[Sequence[bytes]]:
    """The files of each series, where they are judged together; otherwise all as they came."""
    if not policy.removes_faces:
        return [files]
    found: dict[bytes, list[bytes]] = {}
    for file in files:
        try:
            uids = [bytes(element.value) for element in read_file(file).elements if element.tag == _SERIES_INSTANCE_UID]
        except RefusedError:
            uids = []
        found.setdefault(b"".join(uids), []).append(file)
    return list(found.values())


def _of_series(series: Sequence[bytes], policy: Policy) -> PixelCleaner | None:
    return policy.of_series([policy.surveyed(file) for file in series])
