"""NATS JetStream: facts are said once, heard at least once, and never lost.

A handler acknowledges by returning. A `PassingFault` (or an exception that nobody foresaw) is tried again with backoff;
a `PermanentFault`, or the last try, goes to the dead-letter subject after the service has said what failed. While a
handler runs, the server hears that it is alive, so a killed process's message goes to the next one soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError
from opentelemetry import metrics
from opentelemetry.trace import SpanKind

from services.chassis import telemetry
from services.chassis.faults import Fault, PassingFault, PermanentFault
from services.chassis.health import Health
from services.chassis.identity import Identity
from services.chassis.log import Log

MESSAGE_ID = "Nats-Msg-Id"
SCHEMA = "Plexus-Schema"
_TRIES = 12
"""With the backoff: some four minutes, long enough to start a part anew."""
_TRIES_UNFORESEEN = 3
_DUPLICATE_WINDOW_SECONDS = 3600
_CONNECT_SECONDS = 30
_LAST_LOOK_SECONDS = 0.01


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


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as a handler gets it.

    Attributes:
        attempt: 1 the first time.
    """

    subject: str
    data: bytes
    message_id: str
    attempt: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a service wants to hear.

    Attributes:
        consumer: durable name, shared by the processes of the service, such as `worklist-series-settled`.
        stream: name of the stream that keeps `subject`.
        handle: idempotent; returning acknowledges.
        failed: called once before a message is given up, to say so; idempotent.
        concurrency: how many messages one process handles at a time.
        tries: how often a `PassingFault` may come before the message is given up; `None`: never given up.
        slowest_seconds: the longest pause between two tries.
        most_waiting: how many messages may wait for their next try before no new one is handled.
    """

    subject: str
    consumer: str
    stream: str
    handle: Callable[[Delivery], Awaitable[None]]
    failed: Callable[[Delivery, Fault], Awaitable[None]] | None = None
    concurrency: int = 1
    tries: int | None = _TRIES
    slowest_seconds: float = 30.0
    most_waiting: int = 256


@dataclass(frozen=True, slots=True)
class BatchSubscription:
    """What a service wants to hear many at a time.

    Attributes:
        handle: idempotent; returning acknowledges all but those whose faults it gives, by their places: they are kept
            aside as dead letters. A fault that it raises lets all of them come again.
        most: how many messages at a time.
        gather_seconds: how long the first message waits for others: many cost a transaction hardly more than one.
        concurrency: how many batches one process has in hand: one is gathered while another is written.
        slowest_seconds: the longest pause between two tries; there is no last one.
    """

    subject: str
    consumer: str
    stream: str
    handle: Callable[[Sequence[Delivery]], Awaitable[Mapping[int, PermanentFault]]]
    most: int = 256
    gather_seconds: float = 0.1
    concurrency: int = 2
    slowest_seconds: float = 30.0


class Bus:
    """A connection to NATS. Use `connected`."""

    def __init__(self, client: Client, *, log: Log, ack_wait_seconds: float, dead_subject: str) -> None:
        self._client = client
        self._streams: JetStreamContext = client.jetstream(timeout=5)
        self._log = log
        self._ack_wait = ack_wait_seconds
        self._dead = dead_subject
        self._handled = metrics.get_meter("plexus").create_histogram(
            "plexus_messages_handled_seconds", "s", "How long handlers take, by consumer and outcome"
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
        async with asyncio.TaskGroup() as group:
            for _ in range(subscription.concurrency):
                group.create_task(self._consume(subscription, stopping))

    async def _consume(self, subscription: Subscription, stopping: asyncio.Event) -> None:
        config = ConsumerConfig(
            durable_name=subscription.consumer,
            filter_subject=subscription.subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait,
            max_ack_pending=subscription.most_waiting,
        )
        pull = None
        while not stopping.is_set():
            try:
                if pull is None:
                    pull = await self._streams.pull_subscribe(
                        subscription.subject, subscription.consumer, subscription.stream, config
                    )
                message = (await pull.fetch(1, timeout=1))[0]
            except (NatsTimeoutError, TimeoutError):
                continue
            except (NatsError, NotFoundError, OSError) as error:
                # The stream is not made yet, or the server is away: the client reconnects, we ask again.
                self._log.warning("bus.waiting", consumer=subscription.consumer, error=type(error).__name__)
                pull = None
                await asyncio.sleep(0.5)
                continue
            await self._handle(subscription, message)

    async def consume_batches(self, subscription: BatchSubscription, stopping: asyncio.Event) -> None:
        """Hear a subject, many messages at a time, until `stopping`; those in hand are finished first."""
        # Two who gather at a time would take from each other what could have come together.
        gathering = asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            for _ in range(subscription.concurrency):
                group.create_task(self._consume_batches(subscription, gathering, stopping))

    async def _consume_batches(
        self, subscription: BatchSubscription, gathering: asyncio.Lock, stopping: asyncio.Event
    ) -> None:
        config = ConsumerConfig(
            durable_name=subscription.consumer,
            filter_subject=subscription.subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait,
            max_ack_pending=subscription.most * subscription.concurrency,
        )
        pull = None
        while not stopping.is_set():
            try:
                if pull is None:
                    pull = await self._streams.pull_subscribe(
                        subscription.subject, subscription.consumer, subscription.stream, config
                    )
                async with gathering:
                    if stopping.is_set():
                        return
                    messages = await _gathered(pull, subscription)
            except (NatsTimeoutError, TimeoutError):
                continue
            except (NatsError, NotFoundError, OSError) as error:
                self._log.warning("bus.waiting", consumer=subscription.consumer, error=type(error).__name__)
                pull = None
                await asyncio.sleep(0.5)
                continue
            await self._handle_batch(subscription, messages)

    async def _handle_batch(self, subscription: BatchSubscription, messages: Sequence[Msg]) -> None:
        deliveries = [_delivery(message) for message in messages]
        started = asyncio.get_running_loop().time()
        alive = asyncio.create_task(self._say_all_alive(messages))
        outcome = "done"
        try:
            with telemetry.span(
                f"{subscription.subject} process",
                {
                    "messaging.consumer.group.name": subscription.consumer,
                    "messaging.batch.message_count": len(messages),
                },
                kind=SpanKind.CONSUMER,
            ):
                faults = await subscription.handle(deliveries)
            for place, (message, delivery) in enumerate(zip(messages, deliveries, strict=True)):
                if place in faults:
                    await self._bury(subscription.consumer, delivery, faults[place])
                await message.ack()
        except Exception as error:  # noqa: BLE001  # all of them come again; one batch must not end the consumer
            outcome = "retried"
            code = error.code if isinstance(error, Fault) else "unforeseen"
            self._log.error(
                "messages.not_handled", error, consumer=subscription.consumer, messages=len(messages), code=code
            )
            for message, delivery in zip(messages, deliveries, strict=True):
                with suppress(NatsError, OSError):
                    await message.nak(delay=min(0.5 * 2 ** min(delivery.attempt, 16), subscription.slowest_seconds))
        finally:
            alive.cancel()
            self._handled.record(
                asyncio.get_running_loop().time() - started, {"consumer": subscription.consumer, "outcome": outcome}
            )

    async def _say_all_alive(self, messages: Sequence[Msg]) -> None:
        while True:
            await asyncio.sleep(self._ack_wait / 3)
            for message in messages:
                with suppress(NatsError, OSError):
                    await message.in_progress()

    async def _bury(self, consumer: str, delivery: Delivery, fault: Fault) -> None:
        """Keep a message aside, for a person."""
        self._log.error("message.not_handled", fault, consumer=consumer, outcome="dead", code=fault.code)
        headers = {
            **delivery.headers,
            MESSAGE_ID: f"dead.{consumer}.{delivery.message_id}",
            "Plexus-Subject": delivery.subject,
            "Plexus-Reason-Code": fault.code,
        }
        await self.publish(f"{self._dead}.{consumer}", delivery.data, headers)

    async def _handle(self, subscription: Subscription, message: Msg) -> None:
        headers = dict(message.headers or {})
        attempt = message.metadata.num_delivered or 1
        delivery = Delivery(message.subject, message.data, headers.get(MESSAGE_ID, ""), attempt, headers)
        started = asyncio.get_running_loop().time()
        alive = asyncio.create_task(self._say_alive(message))
        outcome = "done"
        try:
            with telemetry.span(
                f"{subscription.subject} process",
                {"messaging.consumer.group.name": subscription.consumer, "messaging.attempt": attempt},
                kind=SpanKind.CONSUMER,
                parent=telemetry.extract(headers),
            ):
                try:
                    if subscription.tries is not None and attempt > subscription.tries:
                        # No fault was ever told: each try took its process with it.
                        raise PermanentFault("given-up", f"the service did not survive any of {attempt - 1} tries")
                    await subscription.handle(delivery)
                except Exception as error:
                    outcome = await self._settle_fault(subscription, message, delivery, error)
                    raise
            await message.ack()
        except Exception as error:  # noqa: BLE001  # settled above; one message must not end the consumer
            self._log.error(
                "message.not_handled",
                error,
                consumer=subscription.consumer,
                attempt=attempt,
                outcome=outcome,
                code=error.code if isinstance(error, Fault) else "unforeseen",
            )
        finally:
            alive.cancel()
            self._handled.record(
                asyncio.get_running_loop().time() - started,
                {"consumer": subscription.consumer, "outcome": outcome},
            )

    async def _settle_fault(
        self, subscription: Subscription, message: Msg, delivery: Delivery, error: Exception
    ) -> str:
        tries = subscription.tries if isinstance(error, PassingFault) else _TRIES_UNFORESEEN
        if not isinstance(error, PermanentFault) and (tries is None or delivery.attempt < tries):
            await message.nak(delay=min(0.5 * 2 ** min(delivery.attempt, 16), subscription.slowest_seconds))
            return "retried"
        fault = error if isinstance(error, Fault) else PermanentFault("internal", f"unexpected {type(error).__name__}")
        try:
            if subscription.failed is not None:
                await subscription.failed(delivery, fault)
            await self.publish(
                f"{self._dead}.{subscription.consumer}",
                delivery.data,
                {
                    **delivery.headers,
                    MESSAGE_ID: f"dead.{subscription.consumer}.{delivery.message_id}",
                    "Plexus-Subject": delivery.subject,
                    "Plexus-Reason-Code": fault.code,
                },
            )
        except Exception as again:  # noqa: BLE001  # the fault could not be said: keep the message
            self._log.error("message.fault_not_said", again, consumer=subscription.consumer)
            await message.nak(delay=5)
            return "retried"
        await message.term()
        return "dead"

    async def _say_alive(self, message: Msg) -> None:
        while True:
            await asyncio.sleep(self._ack_wait / 3)
            with suppress(NatsError, OSError):
                await message.in_progress()


async def _gathered(pull: JetStreamContext.PullSubscription, subscription: BatchSubscription) -> list[Msg]:
    """The first message, and those that come soon after it."""
    messages = await pull.fetch(1, timeout=1)
    others = subscription.most - 1
    if (messages[0].metadata.num_pending or 0) < others:
        await asyncio.sleep(subscription.gather_seconds)
    with suppress(NatsTimeoutError, TimeoutError):  # a fetch gives what is there, and waits only where nothing is
        messages += await pull.fetch(others, timeout=_LAST_LOOK_SECONDS)
    return messages


def _delivery(message: Msg) -> Delivery:
    headers = dict(message.headers or {})
    attempt = message.metadata.num_delivered or 1
    return Delivery(message.subject, message.data, headers.get(MESSAGE_ID, ""), attempt, headers)


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
