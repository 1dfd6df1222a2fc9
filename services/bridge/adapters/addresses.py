"""Where application entities listen: from the settings, and from a file that may change while we run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from services.bridge.exchanging import Address, addresses
from services.chassis.log import Log


class AddressBook:
    """`Addresses` that an operator keeps. The file is read again when it has changed; what it says comes first."""

    def __init__(self, known: Mapping[str, Address], file: Path | None, *, log: Log) -> None:
        self._known = known
        self._file = file
        self._log = log
        self._read: Mapping[str, Address] = {}
        self._state: tuple[int, int] | None = None

    def of(self, ae_title: str) -> Address | None:
        """See `Addresses.of`."""
        if self._file is not None:
            self._look(self._file)
        return self._read.get(ae_title) or self._known.get(ae_title)

    def _look(self, file: Path) -> None:
        try:
            stat = file.stat()
            state = stat.st_mtime_ns, stat.st_size
            if state == self._state:
                return
            self._read, self._state = addresses(file.read_text("utf-8")), state
        except FileNotFoundError:
            self._read, self._state = {}, None
        except (OSError, ValueError) as error:
            # What was known stays known: a slip of the pen must not stop the retrievals of others.
            self._log.warning("peers.unreadable", error=type(error).__name__)
