"""What a frame costs in each transfer syntax, and what it costs to have it made by a worker process.

    python -m load_tests.codecs FILE.dcm

The file is any single-frame image, such as a CT slice. Times are of a processor, so that a busy machine counts little.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from services.archive.adapters.pixels import WorkerDecoder
from services.archive.adapters.workers import Workers
from services.chassis.log import Log
from services.dicom.part10 import parse_instance
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, lookup
from services.pixels import syntaxes
from services.pixels.decoding import Decoded, decode
from services.pixels.description import Description, describe
from services.pixels.encoding import encode

_TIMES = 15


def main() -> None:
    """Print a table."""
    data = Path(sys.argv[1]).read_bytes()
    parsed = parse_instance(data)
    frames = parsed.layout.frames
    if frames is None:
        raise SystemExit("there is no frame in it")
    span, description = frames.span(1), describe(parsed.attributes)
    stored = span.take(data[span.offset : span.offset + span.length], big_endian=parsed.layout.big_endian)
    decoded = decode(stored, parsed.transfer_syntax_uid, description)
    print(f"{description.rows} × {description.columns}, {description.allocated} bits; CPU ms, median of {_TIMES}\n")
    print("| transfer syntax | encode | decode | bytes |\n|---|---|---|---|")
    for uid, ability in syntaxes.ABILITIES.items():
        if ability.encodes:
            row(uid, *(_eight_bits(decoded, description) if ability.lossy else (decoded, description)))
    asyncio.run(_through_workers(stored, parsed.transfer_syntax_uid, description))


def row(uid: str, decoded: Decoded, description: Description) -> None:
    """Print what one transfer syntax costs."""
    syntax = lookup(uid)
    if syntax is None or not syntaxes.encodable(uid, description):
        return
    encoded = encode(decoded, uid, description).data
    to, back = _cost(lambda: encode(decoded, uid, description)), _cost(lambda: decode(encoded, uid, description))
    print(f"| {syntax.name} | {to:.2f} | {back:.2f} | {len(encoded)} |")


async def _through_workers(stored: bytes, uid: str, description: Description) -> None:
    workers = Workers(count=1, memory_bytes=2**30, seconds=20, log=Log("codecs"))
    decoder = WorkerDecoder(workers, most_bytes=2**29)
    began = time.perf_counter()
    native = await decoder.made(stored, uid, EXPLICIT_LITTLE_ENDIAN, description)
    print(f"\nfirst answer of a worker, its start included: {(time.perf_counter() - began) * 1000:.0f} ms of the clock")
    spent, clock = [], []
    for _ in range(_TIMES * 4):
        start, began = time.process_time(), time.perf_counter()
        await decoder.made(native, EXPLICIT_LITTLE_ENDIAN, syntaxes.ENCAPSULATED_UNCOMPRESSED, description)
        spent.append(time.process_time() - start)
        clock.append(time.perf_counter() - began)
    print(
        f"{len(native)} bytes to a worker and back, without a codec: {median(clock) * 1000:.2f} ms of the clock, "
        f"{median(spent) * 1000:.2f} ms of the service's processor"
    )
    await workers.close()


def _eight_bits(decoded: Decoded, description: Description) -> tuple[Decoded, Description]:
    low, high = int(decoded.array.min()), int(decoded.array.max())
    scaled = ((decoded.array.astype(np.float32) - low) * (255 / max(high - low, 1))).astype(np.uint8)
    described = Description(description.rows, description.columns, description.samples, 8, 8)
    return Decoded(scaled, decoded.photometric), described


def _cost(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(_TIMES):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return median(spent) * 1000


if __name__ == "__main__":
    main()
