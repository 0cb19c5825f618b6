"""Random weights in the block formats of ggml."""

import gguf
import numpy
from gguf.quants import dequantize

# Where the 16-bit floats of a block stand that all its weights are multiplied with, or have added: gguf-py's quants.py, ggml-common.h.
SCALES = {
    "Q8_0": [0], "Q6_K": [208], "Q5_K": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q4_0": [0], "Q4_1": [0, 2],
    "IQ4_NL": [0], "IQ4_XS": [0], "Q3_K": [108], "IQ3_S": [0], "Q2_K": [80, 82], "IQ2_S": [0],
}


def random_blocks(random: numpy.random.Generator, rows: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> numpy.ndarray:
    """Bytes of weights with about the size that keeps what goes through them of one size: any bits are a block once its scales are sane."""
    wanted = 1.5 / numpy.sqrt(rows[-1])
    if kind == gguf.GGMLQuantizationType.BF16:
        return gguf.quants.quantize((random.standard_normal(rows) * wanted).astype(numpy.float32), kind)
    size, width = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (*rows[:-1], rows[-1] // size, width), dtype=numpy.uint8)
    places = SCALES[kind.name]
    for _ in range(2):
        # First with scales of one, to see how large the weights are with it.
        scale = 1.0 if _ == 0 else wanted / spread
        for index, place in enumerate(places):
            value = offset_sign(kind) * scale * centre(kind) if index == 1 else scale
            blocks[..., place : place + 2] = numpy.frombuffer(numpy.float16(value).tobytes(), numpy.uint8)
        whole = blocks.reshape(*rows[:-1], -1)
        spread = float(numpy.std(dequantize(whole, kind)))
    return whole


def offset_sign(kind: gguf.GGMLQuantizationType) -> int:
    """The K formats take the second float off, the others add it."""
    return 1 if kind.name.endswith("_K") else -1


def centre(kind: gguf.GGMLQuantizationType) -> float:
    """About what brings the mean of the weights to zero."""
    return {"Q4_1": 7.5, "Q5_1": 15.5, "Q4_K": 7.5, "Q5_K": 15.5, "Q2_K": 1.5}[kind.name]
