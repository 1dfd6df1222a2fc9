"""`plexus results`: results that could not be sent on to a PACS, and why; sent again when that is mended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import uuid4

import nats
import typer
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from rich.console import Console

from services.contracts import subjects
from services.contracts.events import ResultsDue, UnreadableEventError
from services.contracts.voices import VOICES
from services.launcher import secrets
from services.launcher.commands import tables
from services.launcher.commands.frame import Data, Offset, Running, Wrap
from services.launcher.errors import LauncherError

if TYPE_CHECKING:
    from services.launcher.mesh import Mesh

_ID: Final = "Nats-Msg-Id"
_REASON: Final = "Plexus-Reason-Code"
_CONSUMERS: Final = tuple(
    hears.consumer for voice in VOICES for hears in voice.hears if hears.subject in subjects.RESULT_QUEUES
)

Job = Annotated[list[str] | None, typer.Argument(help="Of these jobs; of all, without any.")]


@dataclass(frozen=True, slots=True)
class Unsent:
    """Results of a job that did not all reach a destination: a dead letter.

    Attributes:
        number: of the message in its stream.
        reason: the code of the fault that ended it.
        at: when it was given up.
        headers: as it was said; the trace goes on.
    """

    number: int
    due: ResultsDue
    reason: str
    at: datetime | None
    headers: dict[str, str]


def commands(command: Wrap, running: Running, console: Console) -> typer.Typer:
    """The commands; see `frame`."""
    app = typer.Typer(help="Results that could not be sent on to a PACS.", no_args_is_help=True)

    @app.command("list")
    @command
    def list_(
        as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
        data: Data = None,
        port_offset: Offset = None,
    ) -> None:
        """List them, with what ended the tries."""
        found = asyncio.run(_listed(running(data, port_offset)))
        if as_json:
            print(json.dumps([_told(each) for each in found], indent=2))
        elif found:
            shown = tables.plain("job", "results", "why", "given up", "destination", whole=("job", "why", "given up"))
            for each in found:
                told = _told(each)
                kinds = " ".join(told["kinds"])
                shown.add_row(
                    each.due.job_id, kinds, each.reason, told["at"][:19].replace("T", " "), told["destination"]
                )
            console.print(shown, soft_wrap=not console.is_terminal)
        else:
            console.print("Nothing was given up.")

    @app.command()
    @command
    def send(jobs: Job = None, data: Data = None, port_offset: Offset = None) -> None:
        """Send them again, each to the destination that it was for."""
        sent = asyncio.run(_send(running(data, port_offset), frozenset(jobs or ())))
        console.print(f"{sent} jobs' results are on their way again." if sent else "Nothing was given up.")

    return app


def _told(unsent: Unsent) -> dict[str, Any]:
    return {
        "job": unsent.due.job_id,
        "destination": unsent.due.destination,
        "kinds": [result.kind for result in unsent.due.results],
        "reason": unsent.reason,
        "at": unsent.at.isoformat() if unsent.at else "",
    }


async def _listed(mesh: Mesh) -> Sequence[Unsent]:
    async with _bus(mesh) as client:
        return [each async for each in _unsent(client)]


async def _send(mesh: Mesh, jobs: frozenset[str]) -> int:
    """Say them again in the queues that they came from; gives how many."""
    async with _bus(mesh) as client:
        streams = client.jetstream()
        chosen = [each async for each in _unsent(client) if not jobs or each.due.job_id in jobs]
        for each in chosen:
            # A message of its own, so that neither the bus nor the log of accesses takes it for the first one.
            headers = {**each.headers, _ID: f"{each.due.job_id}.again.{uuid4().hex}"}
            await streams.publish(headers.pop("Plexus-Subject"), each.due.to_bytes(), headers=headers)
            await streams.delete_msg(subjects.DEAD_LETTERS.name, each.number)
    if jobs and not chosen:
        raise LauncherError("no results of these jobs were given up")
    return len({each.due.job_id for each in chosen})


async def _unsent(client: Client) -> AsyncIterator[Unsent]:
    streams = client.jetstream()
    for consumer in _CONSUMERS:
        number = 0
        while True:
            try:
                letter = await streams.get_msg(
                    subjects.DEAD_LETTERS.name, number + 1, subject=f"{subjects.DEAD}.{consumer}", next=True
                )
            except NotFoundError:
                break
            number, headers = letter.seq or number + 1, dict(letter.headers or {})
            try:
                due = ResultsDue.from_bytes(letter.data or b"")
            except UnreadableEventError:
                continue  # nothing that could be sent
            yield Unsent(number, due, headers.pop(_REASON, ""), letter.time, headers)


@asynccontextmanager
async def _bus(mesh: Mesh) -> AsyncIterator[Client]:
    password = secrets.passwords(mesh.settings.secrets)["nats_operator"]
    url = f"nats://operator:{password}@{mesh.address('nats')}"
    try:
        client = await nats.connect(url, inbox_prefix=b"_INBOX_operator", connect_timeout=5, max_reconnect_attempts=1)
    except (NatsError, OSError):
        raise LauncherError("the bus does not answer: ./plexus status") from None
    try:
        yield client
    finally:
        await client.close()
