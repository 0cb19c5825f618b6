"""The tensors of a safetensors file."""

import json
import struct
from pathlib import Path

import numpy


def read_safetensors(path: Path):
    content = path.read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + header_bytes])
    for name in sorted(header.keys() - {"__metadata__"}):
        entry = header[name]
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        dtype = {"F32": numpy.float32, "I64": numpy.int64}[entry["dtype"]]
        yield name, numpy.frombuffer(content[begin:end], dtype).reshape(entry["shape"])
