"""Arrays as the bytes of a safetensors file, part by part: nothing is copied, and ``files`` decides how they reach the disk.

``safetensors.numpy.save_file`` writes under a name of its own in the target's folder, where a process that is killed leaves it for
ever, and ``save`` copies all arrays twice. The bytes are theirs.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "float16": "F16", "int32": "I32",
    "uint32": "U32", "float32": "F32", "float64": "F64", "int64": "I64", "uint64": "U64",
}  # fmt: skip
"""The format's name of each dtype, in the format's order."""


def safetensors_parts(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The header, then each array's bytes (row-major, little-endian): those of wider dtypes first, by name within a dtype.

    Raises:
        ValueError: the format has no such dtype.
    """
    order = list(_DTYPES)
    names = sorted(arrays, key=lambda name: (-order.index(arrays[name].dtype.name), name.encode()))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in names:
        array = arrays[name]
        end = offset + array.nbytes
        header[name] = {"dtype": _DTYPES[array.dtype.name], "shape": array.shape, "data_offsets": (offset, end)}
        offset = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        yield array_bytes(arrays[name])


def array_bytes(array: NDArray[Any]) -> memoryview:
    """An array's bytes, row-major and little-endian: its own memory if it is so already."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data
