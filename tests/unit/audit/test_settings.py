"""A start with other settings than the last one is a change of the configuration: told by names, not by values."""

from __future__ import annotations

import json

from services.audit.handlers.recording import record
from services.contracts import records
from tests.unit.audit.memory import MemoryLedger


def written(ledger: MemoryLedger) -> list[tuple[str, str]]:
    values = [json.loads(entry.record or b"{}") for entry in ledger.entries]
    assert not any("settings" in each for each in values)  # the digests are not in the log
    return [(each["action"], each["detail"]) for each in values]


async def test_what_has_changed_since_the_last_start_is_named() -> None:
    ledger = MemoryLedger()
    for settings in (["A=1", "B=1"], ["A=1", "B=1"], ["A=2", "C=1"]):
        await record([records.life("archive", started=True, settings=settings)], ledger=ledger)
        await record([records.life("archive", started=False)], ledger=ledger)
    await record([records.life("ingest", started=True, settings=["A=9"])], ledger=ledger)
    assert written(ledger) == [
        *[("start", ""), ("stop", "")] * 2,
        *[("start", ""), ("configure", "A B C"), ("stop", "")],
        ("start", ""),
    ]
    assert ledger.entries[5].index.caller == "service:archive"


async def test_a_start_that_is_told_twice_changes_nothing_twice() -> None:
    ledger = MemoryLedger()
    await record([records.life("archive", started=True, settings=["A=1"])], ledger=ledger)
    again = records.life("archive", started=True, settings=["A=2"])
    await record([again], ledger=ledger)
    ledger.kept["archive"] = {"A": "1"}  # it died before it had kept them
    await record([again], ledger=ledger)
    assert [action for action, _ in written(ledger)] == ["start", "start", "configure"]
