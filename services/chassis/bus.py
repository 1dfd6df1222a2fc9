"""NATS JetStream: facts are said once, heard at least once, and never lost. How they are heard: `hearing`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError
from opentelemetry.trace import SpanKind

from services.chassis import telemetry
from services.chassis.faults import PassingFault
from services.chassis.health import Health
from services.chassis.hearing import MESSAGE_ID, BatchSubscription, Hearing, Subscription
from services.chassis.identity import Identity
from services.chassis.log import Log

SCHEMA = "Plexus-Schema"
_DUPLICATE_WINDOW_SECONDS = 3600
_CONNECT_SECONDS = 30


class Event(Protocol):
    """What the bus needs to know of a fact."""

    @property
    def subject(self) -> str:
        """Where it is said."""

    @property
    def schema(self) -> str:
        """Its form, such as `plexus.events.v1.SeriesSettled`."""

    def to_bytes(self) -> bytes:
        """Its bytes."""


class Stream(Protocol):
    """A JetStream stream to make."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """What it keeps."""

    @property
    def max_age_seconds(self) -> int:
        """How long it keeps a message."""


class Bus:
    """A connection to NATS. Use `connected`."""

    def __init__(self, client: Client, *, log: Log, ack_wait_seconds: float, dead_subject: str) -> None:
        self._client = client
        self._streams: JetStreamContext = client.jetstream(timeout=5)
        self._hearing = Hearing(
            self._streams, self.publish, log=log, ack_wait_seconds=ack_wait_seconds, dead_subject=dead_subject
        )

    async def ensure(self, streams: Iterable[Stream]) -> None:
        """Make the streams that are not there. Needs the right to, which one service has."""
        for stream in streams:
            config = StreamConfig(
                name=stream.name,
                subjects=list(stream.subjects),
                retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.OLD,
                storage=StorageType.FILE,
                max_age=stream.max_age_seconds,
                duplicate_window=_DUPLICATE_WINDOW_SECONDS,
            )
            try:
                await self._streams.add_stream(config)
            except BadRequestError:  # it is there with other settings: an upgrade
                await self._streams.update_stream(config)

    async def wait_for(self, streams: Iterable[Stream]) -> None:
        """Wait until the streams are there: somebody else makes them.

        Raises:
            PassingFault: they did not come within 30 seconds.
        """
        until = asyncio.get_running_loop().time() + _CONNECT_SECONDS
        for stream in streams:
            while True:
                try:
                    await self._streams.stream_info(stream.name)
                    break
                except (NatsError, NotFoundError, OSError, TimeoutError) as error:
                    if asyncio.get_running_loop().time() > until:
                        code = "bus-not-made"
                        raise PassingFault(code, f"the stream {stream.name} is not there yet") from error
                await asyncio.sleep(0.2)

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        """Say a fact durably: returns once the stream has it. The same `message_id` again changes nothing.

        Raises:
            PassingFault: the stream did not take it.
        """
        with telemetry.span(f"{event.subject} publish", kind=SpanKind.PRODUCER):
            await self.publish(event.subject, event.to_bytes(), headers_of(event.schema, message_id or str(uuid4())))

    async def publish(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        """Publish bytes with headers as they are (the outbox's relay does).

        Raises:
            PassingFault: the stream did not take it.
        """
        try:
            await self._streams.publish(subject, data, headers=headers)
        except (NatsError, OSError, TimeoutError) as error:
            raise PassingFault("bus-unavailable", f"NATS did not take a message ({type(error).__name__})") from error

    async def mention(self, event: Event) -> None:
        """Say what may be lost (progress). Never raises."""
        with suppress(NatsError, OSError, TimeoutError):
            await self._client.publish(event.subject, event.to_bytes(), headers={SCHEMA: event.schema})

    async def overhear(self, subject: str, hear: Callable[[bytes], Awaitable[None]]) -> None:
        """Hear what may be lost, in every process that asks."""

        async def on_message(message: Msg) -> None:
            await hear(message.data)

        await self._client.subscribe(subject, cb=on_message)

    async def unfinished(self, stream: str, consumer: str) -> int:
        """How many messages of a consumer are not done: in hand, waiting to be tried again, or not fetched yet.

        Raises:
            PassingFault: NATS does not answer.
        """
        try:
            info = await self._streams.consumer_info(stream, consumer)
        except NotFoundError:
            return 0
        except (NatsError, OSError, TimeoutError) as error:
            raise PassingFault("bus-unavailable", f"NATS did not answer ({type(error).__name__})") from error
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def consume(self, subscription: Subscription, stopping: asyncio.Event) -> None:
        """Hear a subject until `stopping`; the messages in hand are finished first."""
        await self._hearing.consume(subscription, stopping)

    async def consume_batches(self, subscription: BatchSubscription, stopping: asyncio.Event) -> None:
        """Hear a subject, many messages at a time, until `stopping`; those in hand are finished first."""
        await self._hearing.consume_batches(subscription, stopping)


def headers_of(schema: str, message_id: str) -> dict[str, str]:
    """Headers of a new event, with the current trace context."""
    return {MESSAGE_ID: message_id, SCHEMA: schema, **telemetry.inject()}


@asynccontextmanager
async def connected(
    url: str,
    *,
    service: str,
    log: Log,
    health: Health,
    ack_wait_seconds: float,
    dead_subject: str,
    identity: Identity | None = None,
) -> AsyncIterator[Bus]:
    """A bus, connected; `/readyz` asks it.

    Args:
        identity: who we are, where `url` begins with `tls://`: the server has to be of the same authority.

    Raises:
        PassingFault: no server answered within 30 seconds.
    """
    user = urlsplit(url).username or service
    tls = {"tls": identity.context()} if identity is not None and urlsplit(url).scheme == "tls" else {}

    async def on_error(error: Exception) -> None:
        log.warning("bus.error", error=type(error).__name__)

    until = asyncio.get_running_loop().time() + _CONNECT_SECONDS
    while True:
        try:
            client = await nats.connect(
                url,
                name=service,
                # An inbox per user: permissions can then keep the zones' answers apart.
                inbox_prefix=f"_INBOX_{user}".encode(),
                error_cb=on_error,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,
                allow_reconnect=True,
                **tls,
            )
            break
        except (NatsError, OSError):
            if asyncio.get_running_loop().time() > until:
                raise PassingFault("bus-unreachable", "NATS does not answer") from None
            await asyncio.sleep(0.2)

    async def answers() -> None:
        if not client.is_connected:
            raise PassingFault("bus-unreachable", "NATS is not connected")

    health.add("bus", answers)
    try:
        yield Bus(client, log=log, ack_wait_seconds=ack_wait_seconds, dead_subject=dead_subject)
    finally:
        # Not `drain`: a pull consumer's leftover status messages would hold it for half a minute, and whoever consumed
        # has stopped before this.
        with suppress(NatsError, OSError, TimeoutError):
            await client.flush(timeout=2)
        with suppress(NatsError, OSError, TimeoutError):  # a server that is gone is no reason to fail at the end
            await client.close()
