"""How each infrastructure part, and a service of ours, is started and asked whether it is ready: one module a part."""

from __future__ import annotations

from services.launcher import registry
from services.launcher.parts.caddy import Caddy
from services.launcher.parts.nats import Nats
from services.launcher.parts.postgres import Postgres
from services.launcher.parts.program import Runnable
from services.launcher.parts.redis import Redis
from services.launcher.parts.service import Service
from services.launcher.parts.triton import Triton
from services.launcher.settings import Settings


def runnable(part: registry.Part, settings: Settings) -> Runnable:
    """The way to run a part of the registry."""
    match part.name:
        case "postgres":
            return Postgres(settings)
        case "nats":
            return Nats(settings)
        case "redis":
            return Redis(settings)
        case "triton":
            return Triton(settings)
        case "edge":
            return Caddy(settings)
        case _:
            return Service(part, settings)


__all__ = ["Runnable", "runnable"]
