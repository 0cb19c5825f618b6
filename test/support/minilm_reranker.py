"""Makes a reranking model of the GGUF of all-MiniLM-L6-v2: its layers, and a classification head of random weights on the first token.

Usage: minilm_reranker.py MINILM OUTPUT
"""

import sys

import gguf
import numpy

OF_ITS_OWN = ("general.architecture", "bert.pooling_type")


def main(source: str, output: str) -> None:
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(output, "bert")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in OF_ITS_OWN:
            continue
        sub_type = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    add_head(writer, width=384)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_head(writer: gguf.GGUFWriter, width: int) -> None:
    random = numpy.random.default_rng(5)
    for name, shape, size in [
        ("cls.weight", (width, width), 0.2),
        ("cls.bias", (width,), 0.1),
        ("cls.output.weight", (1, width), 0.2),
        ("cls.output.bias", (1,), 0.1),
    ]:
        writer.add_tensor(name, (size * random.standard_normal(shape)).astype(numpy.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
