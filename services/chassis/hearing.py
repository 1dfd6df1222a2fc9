"""Hearing facts: a handler acknowledges by returning.

A `PassingFault` (or an exception that nobody foresaw) is tried again with backoff; a `PermanentFault`, or the last try,
goes to the dead-letter subject after the service has said what failed. While a handler runs, the server hears that it
is alive, so a killed process's message goes to the next one soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError
from opentelemetry import metrics
from opentelemetry.trace import SpanKind

from services.chassis import telemetry
from services.chassis.faults import Fault, PassingFault, PermanentFault
from services.chassis.log import Log

MESSAGE_ID = "Nats-Msg-Id"
_TRIES = 12
"""With the backoff: some four minutes, long enough to start a part anew."""
_TRIES_UNFORESEEN = 3
_LAST_LOOK_SECONDS = 0.01

Publish = Callable[[str, bytes, dict[str, str]], Awaitable[None]]
"""Publishes bytes with headers on a subject. Raises PassingFault."""
_Fetch = Callable[[JetStreamContext.PullSubscription], Awaitable[list[Msg]]]


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


class Hearing:
    """The consumers of one connection."""

    def __init__(
        self, streams: JetStreamContext, publish: Publish, *, log: Log, ack_wait_seconds: float, dead_subject: str
    ) -> None:
        self._streams = streams
        self._publish = publish
        self._log = log
        self._ack_wait = ack_wait_seconds
        self._dead = dead_subject
        self._handled = metrics.get_meter("plexus").create_histogram(
            "plexus_messages_handled_seconds", "s", "How long handlers take, by consumer and outcome"
        )

    async def consume(self, subscription: Subscription, stopping: asyncio.Event) -> None:
        """Hear a subject until `stopping`; the messages in hand are finished first."""

        async def one(pull: JetStreamContext.PullSubscription) -> list[Msg]:
            return await pull.fetch(1, timeout=1)

        async def work() -> None:
            async for (message,) in self._fetched(subscription, stopping, subscription.most_waiting, one):
                await self._handle(subscription, message)

        async with asyncio.TaskGroup() as group:
            for _ in range(subscription.concurrency):
                group.create_task(work())

    async def consume_batches(self, subscription: BatchSubscription, stopping: asyncio.Event) -> None:
        """Hear a subject, many messages at a time, until `stopping`; those in hand are finished first."""
        # Two who gather at a time would take from each other what could have come together.
        gathering = asyncio.Lock()

        async def gather(pull: JetStreamContext.PullSubscription) -> list[Msg]:
            async with gathering:
                return [] if stopping.is_set() else await _gathered(pull, subscription)

        async def work() -> None:
            waiting = subscription.most * subscription.concurrency
            async for messages in self._fetched(subscription, stopping, waiting, gather):
                await self._handle_batch(subscription, messages)

        async with asyncio.TaskGroup() as group:
            for _ in range(subscription.concurrency):
                group.create_task(work())

    async def _fetched(
        self, wanted: Subscription | BatchSubscription, stopping: asyncio.Event, most_waiting: int, fetch: _Fetch
    ) -> AsyncIterator[list[Msg]]:
        config = ConsumerConfig(
            durable_name=wanted.consumer,
            filter_subject=wanted.subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait,
            max_ack_pending=most_waiting,
        )
        pull = None
        while not stopping.is_set():
            try:
                if pull is None:
                    pull = await self._streams.pull_subscribe(wanted.subject, wanted.consumer, wanted.stream, config)
                messages = await fetch(pull)
            except (NatsTimeoutError, TimeoutError):
                continue
            except (NatsError, NotFoundError, OSError) as error:
                # The stream is not made yet, or the server is away: the client reconnects, we ask again.
                self._log.warning("bus.waiting", consumer=wanted.consumer, error=type(error).__name__)
                pull = None
                await asyncio.sleep(0.5)
                continue
            if messages:
                yield messages

    async def _handle_batch(self, subscription: BatchSubscription, messages: Sequence[Msg]) -> None:
        deliveries = [_delivery(message) for message in messages]
        started = asyncio.get_running_loop().time()
        alive = asyncio.create_task(self._say_alive(messages))
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
                    fault = faults[place]
                    self._log.error(
                        "message.not_handled", fault, consumer=subscription.consumer, outcome="dead", code=fault.code
                    )
                    await self._bury(subscription.consumer, delivery, fault)
                await message.ack()
        except Exception as error:  # noqa: BLE001  # all of them come again; one batch must not end the consumer
            outcome = "retried"
            code = error.code if isinstance(error, Fault) else "unforeseen"
            self._log.error(
                "messages.not_handled", error, consumer=subscription.consumer, messages=len(messages), code=code
            )
            for message, delivery in zip(messages, deliveries, strict=True):
                with suppress(NatsError, OSError):
                    await message.nak(delay=_pause(delivery, subscription.slowest_seconds))
        finally:
            alive.cancel()
            self._handled.record(
                asyncio.get_running_loop().time() - started, {"consumer": subscription.consumer, "outcome": outcome}
            )

    async def _say_alive(self, messages: Sequence[Msg]) -> None:
        while True:
            await asyncio.sleep(self._ack_wait / 3)
            for message in messages:
                with suppress(NatsError, OSError):
                    await message.in_progress()

    async def _bury(self, consumer: str, delivery: Delivery, fault: Fault) -> None:
        """Keep a message aside, for a person."""
        headers = {
            **delivery.headers,
            MESSAGE_ID: f"dead.{consumer}.{delivery.message_id}",
            "Plexus-Subject": delivery.subject,
            "Plexus-Reason-Code": fault.code,
        }
        await self._publish(f"{self._dead}.{consumer}", delivery.data, headers)

    async def _handle(self, subscription: Subscription, message: Msg) -> None:
        delivery = _delivery(message)
        attempt = delivery.attempt
        started = asyncio.get_running_loop().time()
        alive = asyncio.create_task(self._say_alive([message]))
        outcome = "done"
        try:
            with telemetry.span(
                f"{subscription.subject} process",
                {"messaging.consumer.group.name": subscription.consumer, "messaging.attempt": attempt},
                kind=SpanKind.CONSUMER,
                parent=telemetry.extract(dict(delivery.headers)),
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
            await message.nak(delay=_pause(delivery, subscription.slowest_seconds))
            return "retried"
        fault = error if isinstance(error, Fault) else PermanentFault("internal", f"unexpected {type(error).__name__}")
        try:
            if subscription.failed is not None:
                await subscription.failed(delivery, fault)
            await self._bury(subscription.consumer, delivery, fault)
        except Exception as again:  # noqa: BLE001  # the fault could not be said: keep the message
            self._log.error("message.fault_not_said", again, consumer=subscription.consumer)
            await message.nak(delay=5)
            return "retried"
        await message.term()
        return "dead"


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


def _pause(delivery: Delivery, slowest_seconds: float) -> float:
    """Before the next try."""
    return min(0.5 * 2.0 ** min(delivery.attempt, 16), slowest_seconds)
