"""Whether the mesh's ports are free, asked before anything is started."""

from __future__ import annotations

import socket

from services.launcher import registry
from services.launcher.errors import PortTaken
from services.launcher.settings import HOST, Settings


def check_free(settings: Settings) -> None:
    """Looks at every port.

    Raises:
        PortTaken: names each port in use, its part and the setting that moves it.
    """
    taken = [name for name, number in settings.ports.items() if not _is_free(number)]
    twice = [name for name, number in settings.ports.items() if list(settings.ports.values()).count(number) > 1]
    problems = [_explain(settings, name, "is in use already") for name in taken]
    problems += [_explain(settings, name, "is given to another part too") for name in twice if name not in taken]
    if problems:
        raise PortTaken("\n".join(problems) + "\nor move all of them: PLEXUS_PORT_OFFSET=1000 (--port-offset 1000)")


def _explain(settings: Settings, name: str, what: str) -> str:
    port = registry.PORTS[name]
    return f"port {settings.ports[name]} of {registry.OWNERS[name].name} {what}; set {port.setting} to a free one"


def _is_free(number: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        # as servers do: what is left of closed connections (TIME_WAIT) does not hold a port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, number))
        except OSError:
            return False
    return True
