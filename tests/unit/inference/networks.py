"""Small ONNX files, written by hand (protobuf's wire format), so that the tests need neither PyTorch nor onnx.

Each is one convolution over single voxels: channel i is `weight[i] * x + bias[i]`. With `pooled` the mean over all
voxels of each channel is the output [1, channels].
"""

from __future__ import annotations

import struct
from collections.abc import Sequence


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(kind: str, inputs: Sequence[str], output: str) -> bytes:
    return _field(1, b"".join(_field(1, one) for one in inputs) + _field(2, output) + _field(4, kind))


def _tensor(name: str, dims: Sequence[int], values: Sequence[float]) -> bytes:
    head = b"".join(_field(1, one) for one in dims) + _field(2, 1) + _field(8, name)
    return _field(5, head + _field(9, struct.pack(f"<{len(values)}f", *values)))


def _value(number: int, name: str, rank: int) -> bytes:
    shape = b"".join(_field(1, _field(2, f"{name}{axis}")) for axis in range(rank))
    return _field(number, _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape))))


def network(weight: Sequence[float], bias: Sequence[float], *, dimensions: int = 3, pooled: bool = False) -> bytes:
    """An ONNX model, see the module; the input has one channel."""
    graph = _node("Conv", ["x", "weight", "bias"], "scores" if not pooled else "y")
    if pooled:
        graph += _node("GlobalAveragePool", ["y"], "mean") + _node("Flatten", ["mean"], "scores")
    graph += _field(2, "graph")
    graph += _tensor("weight", [len(weight), 1, *[1] * dimensions], weight) + _tensor("bias", [len(bias)], bias)
    graph += _value(11, "x", dimensions + 2) + _value(12, "scores", 2 if pooled else dimensions + 2)
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))


def rows(table: Sequence[Sequence[float]], *, dimensions: int = 3) -> bytes:
    """A network that answers the same table, whatever it sees."""
    columns = len(table[0])
    graph = _node("Identity", ["table"], "rows") + _field(2, "graph")
    graph += _tensor("table", [len(table), columns], [value for row in table for value in row])
    graph += _value(11, "x", dimensions + 2) + _value(12, "rows", 2)
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))


def above(threshold: float, **more: bool | int) -> bytes:
    """Two channels, of which the second wins where x is above the threshold."""
    return network([-1, 1], [threshold, -threshold], **more)  # type: ignore[arg-type]  # dimensions, pooled
