"""The tiles in a folder, laid out as they are served: any web server can serve them, any file copy mirrors them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from services.audit.errors import FolderUnavailableError
from services.audit.tiles import WIDTH, Tile, TileMissingError


class FolderTiles:
    """`Tiles` under a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, tile: Tile) -> bytes:
        """See `Tiles.read`: what is wider than asked for serves as well."""
        wanted = tile.width * tile.unit
        for _, data in self.copies(tile):
            if len(data) >= wanted:
                return data[:wanted]
        raise TileMissingError(tile)

    def copies(self, tile: Tile) -> Sequence[tuple[Tile, bytes]]:
        """See `Tiles.copies`; the widest first."""
        with _usable():
            return self._copies(tile)

    def _copies(self, tile: Tile) -> Sequence[tuple[Tile, bytes]]:
        full = self._folder / tile.wide(WIDTH).path
        found = [(tile.wide(WIDTH), full)] if full.is_file() else []
        partials = full.with_name(f"{full.name}.p")
        with suppress(FileNotFoundError):
            widths = sorted((int(each.name) for each in partials.iterdir() if each.name.isdecimal()), reverse=True)
            found += [(tile.wide(width), partials / str(width)) for width in widths]
        copies = []
        for each, path in found:
            try:
                copies.append((each, path.read_bytes()))
            except FileNotFoundError:  # a partial one that has just become full
                continue
        return copies

    def write(self, tiles: Mapping[Tile, bytes]) -> None:
        """See `Tiles.write`; the partial tiles that a full one takes the place of are removed."""
        with _usable():
            for tile, data in tiles.items():
                path = self._folder / tile.path
                _write(path, data)
                if tile.width == WIDTH:
                    shutil.rmtree(path.with_name(f"{path.name}.p"), ignore_errors=True)

    def checkpoint(self) -> str:
        """See `Tiles.checkpoint`."""
        try:
            with _usable():
                return (self._folder / "checkpoint").read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def publish(self, checkpoint: str) -> None:
        """See `Tiles.publish`."""
        with _usable():
            _write(self._folder / "checkpoint", checkpoint.encode())


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FolderUnavailableError(error) from error


def _write(path: Path, data: bytes) -> None:
    """Written whole under another name, then put in its place: nobody reads half a file, not after a crash either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
