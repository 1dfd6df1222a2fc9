"""Starts every part in the order of need, keeps it running, and stops all in reverse.

`python -m services.launcher.supervisor` is a process of its own, apart from the terminal that started it; others hold
it by `mesh.Mesh`. Each part has one task: wait for what it needs, start, wait until ready, then watch. A part that ends
by itself is started again after a pause that doubles; before the mesh was ready once, only a few times.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace

from services.launcher import addresses, registry, secrets, state
from services.launcher.errors import LauncherError, StartFailed
from services.launcher.parts import Runnable, runnable
from services.launcher.process import Child, tail
from services.launcher.settings import Settings, from_process
from services.launcher.state import PartPhase, PartState, Phase, State

_POLL_SECONDS = 0.05
_READY_DEADLINE_SECONDS = 120.0
_STARTS_BEFORE_READY = 3
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_HEALTHY_SECONDS = 60.0


class Supervisor:
    """All parts of one mesh."""

    def __init__(self, settings: Settings, *, tied: bool = False) -> None:
        parts = [registry.BY_NAME[name] for name in settings.parts]
        self._settings = settings
        self._tied = tied
        self._parts = {part.name: part for part in parts}
        self._runnables: dict[str, Runnable] = {part.name: runnable(part, settings) for part in parts}
        self._children: dict[str, Child] = {}
        self._ready = {part.name: asyncio.Event() for part in parts}
        self._stopped = {part.name: asyncio.Event() for part in parts}
        self._stop = asyncio.Event()
        self._was_ready = False
        self._state = State(
            Phase.STARTING, os.getpid(), dict(settings.ports), {part.name: PartState() for part in parts}
        )

    async def run(self) -> int:
        """Runs until told to stop; the exit code."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(signum, self._stop.set)
        if self._tied:
            asyncio.get_running_loop().add_reader(sys.stdin, self._stop.set)  # readable means: the other end is gone
        self._tell()
        tasks = {name: asyncio.create_task(self._keep(name), name=name) for name in self._parts}
        try:
            await self._oversee(tasks)
        except (LauncherError, OSError) as error:
            await self._stop_all(tasks, Phase.FAILED, str(error))
            return 1
        except BaseException:
            await self._stop_all(tasks, Phase.FAILED, "the supervisor failed; its log is logs/launcher.log")
            raise
        await self._stop_all(tasks, Phase.STOPPED, None)
        return 0

    async def _oversee(self, keepers: dict[str, asyncio.Task[None]]) -> None:
        """Waits for the order to stop; raises what the task of a part raises."""
        told = asyncio.create_task(self._told())
        ready = asyncio.create_task(self._all_ready())
        pending: set[asyncio.Task[None]] = {told, ready, *keepers.values()}
        try:
            while not told.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            told.cancel()
            ready.cancel()

    async def _told(self) -> None:
        await self._stop.wait()

    async def _all_ready(self) -> None:
        for event in self._ready.values():
            await event.wait()
        self._was_ready = True
        self._tell(replace(self._state, phase=Phase.READY))

    async def _keep(self, name: str) -> None:
        """Starts one part again and again. Ends only by an error or by being cancelled."""
        for need in self._parts[name].needs:
            if need in self._ready:
                await self._ready[need].wait()
        failures = 0
        while True:
            began = time.monotonic()
            ending = await self._live(name)
            lived = time.monotonic() - began
            failures = 1 if lived > _HEALTHY_SECONDS else failures + 1
            if not self._was_ready and failures >= _STARTS_BEFORE_READY:
                raise StartFailed(self._story(name, f"{name} {ending}"))
            part = self._state.parts[name]
            self._tell_part(name, replace(part, phase=PartPhase.CRASHED, pid=None, restarts=part.restarts + 1))
            await asyncio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1])

    async def _live(self, name: str) -> str:
        """One life of a part, from its start to its end; says how it ended."""
        runs = self._runnables[name]
        began = time.monotonic()
        part = self._state.parts[name]
        self._tell_part(name, replace(part, phase=PartPhase.STARTING, pid=None, since_unix=None))
        program = await asyncio.to_thread(runs.prepare)
        child = await Child.start(program, self._settings.logs / f"{name}.log")
        self._children[name] = child
        self._tell_part(name, replace(self._state.parts[name], pid=child.pid))
        end = asyncio.create_task(child.ended())
        try:
            while not end.done() and not await self._is_ready(name):
                if time.monotonic() - began > _READY_DEADLINE_SECONDS:
                    raise StartFailed(self._story(name, f"{name} was not ready in {_READY_DEADLINE_SECONDS:.0f} s"))
                await asyncio.wait({end}, timeout=_POLL_SECONDS)
            if not end.done():
                await asyncio.to_thread(runs.provision)
                self._tell_part(
                    name,
                    replace(
                        self._state.parts[name],
                        phase=PartPhase.READY,
                        since_unix=time.time(),
                        start_seconds=round(time.monotonic() - began, 2),
                    ),
                )
                self._ready[name].set()
            status = await end
        finally:
            end.cancel()
        await child.stop()  # what may be left of its group
        await asyncio.to_thread(runs.tidy)
        return f"ended by signal {-status}" if status < 0 else f"ended with exit code {status}"

    async def _is_ready(self, name: str) -> bool:
        try:
            return await self._runnables[name].ready()
        except OSError:
            return False

    async def _stop_all(self, tasks: dict[str, asyncio.Task[None]], last: Phase, error: str | None) -> None:
        """Each part stops when all that need it have stopped."""
        self._tell(replace(self._state, phase=Phase.STOPPING, error=error))
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await asyncio.gather(*(self._stop_one(name) for name in self._parts))
        self._tell(replace(self._state, phase=last))

    async def _stop_one(self, name: str) -> None:
        for dependant in registry.dependants(name):
            if dependant.name in self._stopped:
                await self._stopped[dependant.name].wait()
        child = self._children.get(name)
        if child is not None:
            self._tell_part(name, replace(self._state.parts[name], phase=PartPhase.STOPPING))
            await child.stop()
            await asyncio.to_thread(self._runnables[name].tidy)
        self._tell_part(name, replace(self._state.parts[name], phase=PartPhase.STOPPED, pid=None))
        self._stopped[name].set()

    def _story(self, name: str, what: str) -> str:
        log = self._settings.logs / f"{name}.log"
        lines = "\n".join(f"    {line}" for line in tail(log).splitlines())
        return f"{what}; its log is {log}\n\n{lines}"

    def _tell_part(self, name: str, part: PartState) -> None:
        self._tell(self._state.with_part(name, part))

    def _tell(self, new: State | None = None) -> None:
        self._state = new or self._state
        state.write(self._settings.run, self._state)


def main() -> int:
    """Runs the supervisor of this process's settings."""
    settings = from_process()
    os.umask(0o077)  # objects, indexes and logs are nobody else's business
    with state.hold(settings.run) as held:
        if not held:
            return 3
        for folder in (settings.logs, settings.spans, settings.data / "objects", settings.data / "work"):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            addresses.check_free(settings)
            secrets.ensure(settings.secrets)
        except LauncherError as error:
            state.write(settings.run, State(Phase.FAILED, os.getpid(), error=str(error)))
            return 1
        with suppress(KeyboardInterrupt):
            return asyncio.run(_run(settings, tied="--tied" in sys.argv))
    return 130


async def _run(settings: Settings, *, tied: bool) -> int:
    return await Supervisor(settings, tied=tied).run()


if __name__ == "__main__":
    sys.exit(main())
