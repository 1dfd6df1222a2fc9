"""Is the process alive, and may it get work? `/healthz` and `/readyz` answer from here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Check = Callable[[], Awaitable[None]]


class Health:
    """The checks that a service adds as it connects its parts. A check raises when its part is not usable."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self.started = False
        self.stopping = False

    def add(self, part: str, check: Check) -> None:
        """Let `/readyz` ask `check` about `part`."""
        self._checks[part] = check

    async def failing(self) -> list[str]:
        """Names of the parts that are not usable now, `starting` and `stopping` among them."""
        if self.stopping:
            return ["stopping"]
        if not self.started:
            return ["starting"]
        names = list(self._checks)
        results = await asyncio.gather(*(self._ask(self._checks[name]) for name in names))
        return [name for name, usable in zip(names, results, strict=True) if not usable]

    @staticmethod
    async def _ask(check: Check) -> bool:
        try:
            async with asyncio.timeout(2):
                await check()
        except Exception:  # noqa: BLE001  # whatever a part throws, it is not usable
            return False
        return True
