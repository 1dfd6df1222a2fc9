"""Keep records: those of others before their messages are acknowledged, our own before an answer goes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Unpack

from services.audit import model
from services.audit.ports import Ledger
from services.chassis import telemetry
from services.chassis.principal import Principal
from services.contracts import records
from services.contracts.events import Action, AuditRecorded, Outcome

_DETAIL_CHARACTERS = 2000


async def record(recorded: Sequence[AuditRecorded], *, ledger: Ledger) -> None:
    """Services have recorded accesses: keep them, each once; with a start, what was set otherwise the last time."""
    starts = {each.service: each for each in recorded if each.action == Action.START}
    changes = [change for each in starts.values() if (change := await _changed(each, ledger))]
    await ledger.append({each.record_id: model.canonical(each) for each in (*recorded, *changes)})
    for each in starts.values():  # afterwards: if this fails, the start comes again
        await ledger.keep_settings(each.service, _settings(each))


async def _changed(start: AuditRecorded, ledger: Ledger) -> AuditRecorded | None:
    before, now = await ledger.settings(start.service), _settings(start)
    if before is None:
        return None  # its first start
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if not names:
        return None
    return replace(
        start,
        record_id=f"{start.record_id[:48]}.configure",
        action=Action.CONFIGURE,
        detail=" ".join(names)[:_DETAIL_CHARACTERS],
    )


def _settings(start: AuditRecorded) -> dict[str, str]:
    return {name: digest for name, _, digest in (each.partition("=") for each in start.settings)}


async def record_reading(
    principal: Principal, *, ledger: Ledger, detail: str, of: Iterable[AuditRecorded] | None = None, instances: int = 0
) -> None:
    """The log itself was read, or looked through.

    Args:
        detail: a fixed word for how.
        of: what it was read about, one record a study; see `reading`.
        instances: how many records were given.
    """
    await record(list(of or [reading(principal, detail=detail, instances=instances)]), ledger=ledger)


def reading(
    principal: Principal,
    *,
    detail: str,
    action: Action = Action.AUDIT_READ,
    job_id: str = "",
    about: str = "",
    **where: Unpack[records.Where],
) -> AuditRecorded:
    """A record of what somebody did with the log."""
    trace_id = telemetry.trace_id()
    return records.of(
        "audit",
        action,
        Outcome.SUCCESS,
        principal,
        job_id=job_id,
        trace_id=trace_id,
        detail=detail,
        about=about,
        **where,
    )
