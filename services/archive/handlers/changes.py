"""The change feed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.archive.handlers.recording import recorded
from services.archive.ports import Changes, Events
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.store.history import FeedEntry

_LOOK_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Entries of the feed; `last` is where to go on, `more` says that others wait there already."""

    entries: Sequence[FeedEntry]
    last: int
    more: bool


async def since(
    number: int,
    limit: int,
    *,
    metadata: bool,
    wait_seconds: float,
    changes: Changes,
    events: Events,
    caller: Principal,
) -> FeedPage:
    """What happened after `number`; waits for something to happen, if there is nothing yet.

    Args:
        wait_seconds: at most so long.
        metadata: of the instances, with those entries that are current.
    """
    until = asyncio.get_running_loop().time() + wait_seconds
    async with recorded(Action.QUERY, None, "changes", events=events, caller=caller) as tally:
        found = await changes.since(number, limit + 1, metadata=metadata)
        while not found and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_LOOK_SECONDS)
            if await changes.last() > number:
                found = await changes.since(number, limit + 1, metadata=metadata)
        entries = found[:limit]
        tally.instances = len(entries)
    return FeedPage(entries, entries[-1].number if entries else number, len(found) > limit)
