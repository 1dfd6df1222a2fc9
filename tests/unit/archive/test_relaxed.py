"""No record, no access, but for what an operator has named."""

from __future__ import annotations

import pytest

from services.archive.adapters.relaxed import RelaxedEvents
from services.archive.model import access
from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts.events import Action, Event, SeriesSettled


class Away:
    """A bus that takes nothing."""

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        raise PassingFault("bus-unavailable", "NATS did not take a message")


@pytest.mark.parametrize("detail", ["thumbnail", "thumbnail-total"])
async def test_a_named_kind_is_answered_without_its_record(detail: str) -> None:
    events = RelaxedEvents(Away(), {"thumbnail"}, log=Log("test"))
    await events.say(access(Action.RETRIEVE, Principal.local(), trace_id="", detail=detail))


async def test_any_other_is_refused() -> None:
    events = RelaxedEvents(Away(), {"thumbnail"}, log=Log("test"))
    for event in (
        access(Action.RETRIEVE, Principal.local(), trace_id="", detail="instance"),
        SeriesSettled("1.2", "1.3", 1, "", 1),
    ):
        with pytest.raises(PassingFault):
            await events.say(event)


@pytest.mark.parametrize("action", [Action.EXPORT, Action.TRANSFER_OUT])
async def test_what_leaves_for_good_is_recorded_whatever_the_operator_has_named(action: Action) -> None:
    events = RelaxedEvents(Away(), {"instance", "stored"}, log=Log("test"))
    for detail in ("instance", "stored"):
        with pytest.raises(PassingFault):
            await events.say(access(action, Principal.local(), trace_id="", detail=detail))
