"""Writes small GGUF models with random weights, one for each architecture and each quantisation of the tables below.

Usage: random_models.py VOCABULARY OUTPUT

VOCABULARY is a GGUF with a byte-level BPE vocabulary; the models have its first tokens. The same arguments give the same bytes.
"""

import sys
import zlib
from pathlib import Path

import gguf
import numpy
from dequantise_gguf import main as dequantise
from random_architectures import ARCHITECTURES, RERANK_TEMPLATE, RERANKERS, Architecture, Hyper
from random_blocks import random_blocks

VOCABULARY_SIZE = 1024
QUANTISED = "F16 BF16 Q8_0 Q6_K Q5_K Q5_0 Q5_1 Q4_K Q4_0 Q4_1 IQ4_NL IQ4_XS Q3_K IQ3_S Q2_K IQ2_S".split()
SPLIT_FILES = 3


def main(vocabulary: str, output: str) -> None:
    entries = first_tokens(gguf.GGUFReader(vocabulary))
    for name, architecture in ARCHITECTURES.items():
        write(Path(output, f"{name}.gguf"), name, architecture, entries)
    for name, architecture in RERANKERS.items():
        write(Path(output, f"{name}.gguf"), name, architecture, entries | {"tokenizer.chat_template.rerank": RERANK_TEMPLATE})
    wide = ARCHITECTURES["llama"]._replace(hyper=Hyper(width=256, feed_forward=256, layers=1))
    for kind in QUANTISED:
        path = Path(output, f"llama-{kind}.gguf")
        write(path, kind, wide, entries, gguf.GGMLQuantizationType[kind])
        dequantise(str(path), str(path.with_suffix(".32.gguf")))
    write(Path(output, "split.gguf"), "llama", ARCHITECTURES["llama"], entries, files=SPLIT_FILES)


def first_tokens(reader: gguf.GGUFReader) -> dict[str, object]:
    """The metadata of the tokenizer for its first tokens: those that need no others."""
    fields = {key: field.contents() for key, field in reader.fields.items() if key.startswith("tokenizer.ggml.")}
    tokens = fields["tokenizer.ggml.tokens"][:VOCABULARY_SIZE]
    known = set(tokens)
    merges = [merge for merge in fields["tokenizer.ggml.merges"] if known.issuperset([*merge.split(" "), merge.replace(" ", "")])]
    types = fields["tokenizer.ggml.token_type"][:VOCABULARY_SIZE]
    return fields | {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types, "tokenizer.ggml.merges": merges}


def write(path: Path, seed: str, architecture: Architecture, entries: dict[str, object], kind=gguf.GGMLQuantizationType.F32, files: int = 1) -> None:
    hyper = architecture.hyper
    random = numpy.random.default_rng(zlib.crc32(seed.encode()))
    shapes = list(architecture.tensors(hyper, VOCABULARY_SIZE))
    share = -(-len(shapes) // files)
    for index in range(files):
        target = path if files == 1 else path.with_name(f"{path.stem}-{index + 1:05}-of-{files:05}.gguf")
        writer = gguf.GGUFWriter(target, architecture.name)
        if index == 0:
            add_metadata(writer, architecture, entries)
        if files > 1:
            writer.add_uint16("split.no", index)
            writer.add_uint16("split.count", files)
            writer.add_int32("split.tensors.count", len(shapes))
        for name, shape in shapes[index * share : (index + 1) * share]:
            add_tensor(writer, random, name, shape, kind, architecture.tied)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def add_metadata(writer: gguf.GGUFWriter, architecture: Architecture, entries: dict[str, object]) -> None:
    # Not the name of the architecture: for some, llama.cpp looks for tokens by it.
    writer.add_name("random")
    for key, value in architecture.metadata(architecture.hyper).items():
        add(writer, f"{architecture.name}.{key}", value)
    for key, value in entries.items():
        add(writer, key, value)


def add(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def add_tensor(writer: gguf.GGUFWriter, random: numpy.random.Generator, name: str, shape: tuple[int, ...], kind, tied: bool) -> None:
    rows = shape[::-1]
    if name.endswith("ssm_a"):
        # A decay, always negative.
        tensor = -random.uniform(0.5, 2, rows)
    elif tied and name == "token_embd.weight":
        # Small beside what the layers add, or the likeliest token would be the last one again; the norm makes up for it.
        tensor = 0.02 * random.standard_normal(rows)
    elif tied and name == "output_norm.weight":
        tensor = 10 + random.standard_normal(rows)
    elif "norm.weight" in name or name.endswith("ssm_d"):
        tensor = 1 + 0.1 * random.standard_normal(rows)
    elif len(shape) == 1 or name.endswith("bias") or "conv1d" in name:
        tensor = 0.1 * random.standard_normal(rows)
    elif kind.value > 1 and "token_embd" not in name:
        writer.add_tensor(name, random_blocks(random, rows, kind), raw_dtype=kind)
        return
    else:
        # So that what goes in and what comes out are of one size: attention and answers depend on the tokens then.
        tensor = random.standard_normal(rows) * (1.5 / numpy.sqrt(shape[0]) if "token_embd" not in name else 1)
        if kind == gguf.GGMLQuantizationType.F16:
            writer.add_tensor(name, tensor.astype(numpy.float16))
            return
    writer.add_tensor(name, tensor.astype(numpy.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
