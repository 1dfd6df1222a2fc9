"""The life of a process: settings, log, telemetry, build, serve, drain on SIGTERM, flush."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import uvicorn
import uvloop
from fastapi import APIRouter
from pydantic import ValidationError
from pydantic_settings import SettingsError

from services.chassis import log as logs
from services.chassis.corked import CorkedHttp
from services.chassis.faults import Fault
from services.chassis.health import Health
from services.chassis.http import Direct, StatusOf, create_app
from services.chassis.identity import Identity
from services.chassis.life import Life
from services.chassis.log import Log
from services.chassis.settings import ServiceSettings
from services.chassis.telemetry import Telemetry

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)
Background = Callable[[asyncio.Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Frame:
    """What the chassis gives to a service's `build`.

    Attributes:
        parts: enter the parts of the service here; they are left in reverse order after the drain.
        stopping: set when the process is told to stop.
        identity: for gRPC, both ways; None: in the clear.
    """

    name: str
    parts: AsyncExitStack
    health: Health
    log: Log
    stopping: asyncio.Event
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a service's `build` gives back.

    Attributes:
        routers: HTTP edges beside health and metrics.
        background: run until `stopping`; one that ends in an exception stops the process.
        status_of: the HTTP status of a fault, if not the default.
        direct: HTTP resources that go past the framework.
        websockets: a router has routes of WebSockets.
        life: tells, before anything is served and after everything is, that the service has started and stopped.
    """

    routers: Sequence[APIRouter] = ()
    background: Sequence[Background] = field(default=())
    status_of: StatusOf | None = None
    direct: Sequence[Direct] = ()
    websockets: bool = False
    life: Life | None = None


def main(name: str, settings_type: type[SettingsT], build: Callable[[SettingsT, Frame], Awaitable[Runtime]]) -> None:
    """Run the service `name` until SIGTERM or Ctrl-C. Exit status 2: a setting is wrong; 1: it could not run."""
    try:
        settings = settings_type()  # type: ignore[call-arg]  # its fields come from the environment
    except ValidationError as error:
        prefix = str(settings_type.model_config.get("env_prefix", ""))
        for item in error.errors():
            print(f"{prefix}{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    except SettingsError as error:  # it names the field and no value
        print(f"{settings_type.model_config.get('env_prefix', '')}*: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    log = logs.configure(name, settings.log_level)
    telemetry = Telemetry(name, spans_file=settings.spans_file, otlp_endpoint=settings.otlp_endpoint)
    try:
        uvloop.run(_run(name, settings, build, log))
    except* Fault as faults:
        for fault in _leaves(faults):
            log.error("service.stopped", fault, reason=str(fault))
        raise SystemExit(1) from None
    finally:
        telemetry.shutdown()


def _leaves(group: BaseExceptionGroup[Fault]) -> Iterator[Fault]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _run(
    name: str, settings: SettingsT, build: Callable[[SettingsT, Frame], Awaitable[Runtime]], log: Log
) -> None:
    stopping, health = asyncio.Event(), Health()

    def stop() -> None:
        health.stopping = True
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    log.info("service.starting", http_host=settings.http_host, http_port=settings.http_port, caller="local")
    async with AsyncExitStack() as parts:
        identity = Identity.read(settings.tls_folder) if settings.tls_folder else None
        runtime = await build(settings, Frame(name, parts, health, log, stopping, identity))
        app = create_app(
            name,
            health=health,
            log=log,
            routers=runtime.routers,
            status_of=runtime.status_of,
            direct=runtime.direct,
        )
        server = _Server(
            uvicorn.Config(
                app,
                host=settings.http_host,
                port=settings.http_port,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=int(settings.drain_seconds),
                timeout_keep_alive=75,
                ws="websockets-sansio" if runtime.websockets else "none",
                http=CorkedHttp,
            )
        )
        if runtime.life is not None:
            await runtime.life(True)
        _settle_memory()
        health.started = True
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve())
            for work in runtime.background:
                group.create_task(_guard(work, stopping))
            await _first(stopping, serving)
            stop()
            log.info("service.draining")
            server.should_exit = True
        if runtime.life is not None:
            with suppress(Fault):  # a part that has gone before us is no reason to fail at the end
                await runtime.life(False)
    log.info("service.stopped")


def _settle_memory() -> None:
    """Take what the start has made out of the collector's sight, and let it look less often.

    Each full collection walks some hundred thousand objects that never go, for some ten milliseconds, in the middle of
    a request; what requests leave behind is freed by reference counts, cycles are rare.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _first(stopping: asyncio.Event, serving: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _guard(work: Background, stopping: asyncio.Event) -> None:
    await work(stopping)


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: the chassis has them."""

    def install_signal_handlers(self) -> None:
        """Leave the signals alone."""

    def capture_signals(self):  # type: ignore[no-untyped-def]  # a context manager of uvicorn's own making
        """Leave the signals alone."""
        from contextlib import nullcontext

        return nullcontext()
