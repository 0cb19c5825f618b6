"""Tensors and hyperparameters of architectures that llama.cpp knows, each in a small size: its src/models/*.cpp say what they want."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

Shape = tuple[int, ...]
Tensors = Iterator[tuple[str, Shape]]


class Hyper(NamedTuple):
    width: int = 128
    feed_forward: int = 192
    heads: int = 4
    kv_heads: int = 2
    layers: int = 2
    experts: int = 4
    window: int = 16

    @property
    def head(self) -> int:
        return self.width // self.heads

    @property
    def kv(self) -> int:
        return self.head * self.kv_heads


class Architecture(NamedTuple):
    name: str
    layer: Callable[[Hyper], dict[str, Shape]]
    hyper: Hyper = Hyper()
    more: dict[str, object] = {}
    """Metadata besides those that most architectures have."""
    biased: bool = False
    """Layer norms and all matrices have a bias."""
    tied: bool = False
    """The last matrix is that of the embeddings."""
    weighted: bool = True
    """Norms have weights."""
    around: dict[str, Shape] = {}
    """Tensors outside the layers."""

    def tensors(self, hyper: Hyper, vocabulary: int) -> Tensors:
        yield "token_embd.weight", (hyper.width, vocabulary)
        if self.weighted:
            yield from with_bias("output_norm", (hyper.width,), self.biased)
        if not self.tied:
            yield "output.weight", (hyper.width, vocabulary)
        yield from self.around.items()
        for layer in range(hyper.layers):
            for name, shape in self.layer(hyper).items():
                if "." in name or name == "ssm_a" or name == "ssm_d":
                    yield f"blk.{layer}.{name}", shape
                else:
                    yield from with_bias(f"blk.{layer}.{name}", shape, self.biased)

    def metadata(self, hyper: Hyper) -> dict[str, object]:
        return {
            "block_count": hyper.layers,
            "context_length": 512,
            "embedding_length": hyper.width,
            "feed_forward_length": hyper.feed_forward,
            "attention.head_count": hyper.heads,
            "attention.head_count_kv": hyper.kv_heads,
            "attention.layer_norm_rms_epsilon": 1e-5,
            "attention.layer_norm_epsilon": 1e-5,
            "rope.dimension_count": hyper.head,
            "rope.freq_base": 10000.0,
        } | self.more


def with_bias(name: str, shape: Shape, biased: bool) -> Tensors:
    yield f"{name}.weight", shape
    if biased:
        yield f"{name}.bias", (shape[-1],)


def attention(h: Hyper) -> dict[str, Shape]:
    return {"attn_q": (h.width, h.width), "attn_k": (h.width, h.kv), "attn_v": (h.width, h.kv), "attn_output": (h.width, h.width)}


def gated(h: Hyper) -> dict[str, Shape]:
    return {"ffn_gate": (h.width, h.feed_forward), "ffn_up": (h.width, h.feed_forward), "ffn_down": (h.feed_forward, h.width)}


def plain(h: Hyper) -> dict[str, Shape]:
    return {"ffn_up": (h.width, h.feed_forward), "ffn_down": (h.feed_forward, h.width)}


def experts(h: Hyper) -> dict[str, Shape]:
    wide = (h.width, h.feed_forward, h.experts)
    return {"ffn_gate_inp": (h.width, h.experts), "ffn_gate_exps": wide, "ffn_up_exps": wide, "ffn_down_exps": (h.feed_forward, h.width, h.experts)}


def norms(h: Hyper, *names: str) -> dict[str, Shape]:
    return {f"{name}_norm": (h.width,) for name in names}


def head_norms(h: Hyper) -> dict[str, Shape]:
    return {"attn_q_norm": (h.head,), "attn_k_norm": (h.head,)}


def llama(h: Hyper) -> dict[str, Shape]:
    return norms(h, "attn", "ffn") | attention(h) | gated(h)


def mixtral(h: Hyper) -> dict[str, Shape]:
    return norms(h, "attn", "ffn") | attention(h) | experts(h)


def qwen2(h: Hyper) -> dict[str, Shape]:
    return llama(h) | {"attn_q.bias": (h.width,), "attn_k.bias": (h.kv,), "attn_v.bias": (h.kv,)}


def qwen3(h: Hyper) -> dict[str, Shape]:
    return llama(h) | head_norms(h)


def qwen3moe(h: Hyper) -> dict[str, Shape]:
    return mixtral(h) | head_norms(h)


def olmoe(h: Hyper) -> dict[str, Shape]:
    return mixtral(h) | {"attn_q_norm": (h.width,), "attn_k_norm": (h.kv,)}


def gemma2(h: Hyper) -> dict[str, Shape]:
    return llama(h) | {"post_attention_norm": (h.width,), "post_ffw_norm": (h.width,)}


def gemma3(h: Hyper) -> dict[str, Shape]:
    return gemma2(h) | head_norms(h)


def olmo2(h: Hyper) -> dict[str, Shape]:
    return {"attn_q_norm": (h.width,), "attn_k_norm": (h.kv,), "post_attention_norm": (h.width,), "post_ffw_norm": (h.width,)} | attention(h) | gated(h)


def olmo(h: Hyper) -> dict[str, Shape]:
    return attention(h) | gated(h)


def fused(h: Hyper) -> dict[str, Shape]:
    return {"attn_qkv": (h.width, h.width + 2 * h.kv), "attn_output": (h.width, h.width)}


def gpt(h: Hyper) -> dict[str, Shape]:
    return norms(h, "attn", "ffn") | fused(h) | plain(h)


def phi2(h: Hyper) -> dict[str, Shape]:
    return norms(h, "attn") | fused(h) | plain(h)


def phi3(h: Hyper) -> dict[str, Shape]:
    return norms(h, "attn", "ffn") | fused(h) | {"ffn_up": (h.width, 2 * h.feed_forward), "ffn_down": (h.feed_forward, h.width)}


def starcoder2(h: Hyper) -> dict[str, Shape]:
    return norms(h, "attn", "ffn") | attention(h) | plain(h)


LORA = {"q": 48, "kv": 64, "rope": 16, "nope": 32, "value": 32}


def deepseek2(h: Hyper) -> dict[str, Shape]:
    compressed = {
        "attn_q_a": (h.width, LORA["q"]),
        "attn_q_a_norm": (LORA["q"],),
        "attn_q_b": (LORA["q"], h.heads * (LORA["nope"] + LORA["rope"])),
        "attn_kv_a_mqa": (h.width, LORA["kv"] + LORA["rope"]),
        "attn_kv_a_norm": (LORA["kv"],),
        "attn_k_b": (LORA["nope"], LORA["kv"], h.heads),
        "attn_v_b": (LORA["kv"], LORA["value"], h.heads),
        "attn_output": (h.heads * LORA["value"], h.width),
    }
    shared = {f"{name}_shexp": shape for name, shape in gated(h).items()}
    return norms(h, "attn", "ffn") | compressed | experts(h) | shared


def gpt_oss(h: Hyper) -> dict[str, Shape]:
    wide = (h.feed_forward, h.experts)
    biases = {
        "attn_q.bias": (h.width,), "attn_k.bias": (h.kv,), "attn_v.bias": (h.kv,), "attn_output.bias": (h.width,),
        "ffn_gate_inp.bias": (h.experts,), "ffn_gate_exps.bias": wide, "ffn_up_exps.bias": wide, "ffn_down_exps.bias": (h.width, h.experts),
    }
    return {"attn_norm": (h.width,), "post_attention_norm": (h.width,), "attn_sinks": (h.heads,)} | attention(h) | experts(h) | biases


def mamba(h: Hyper) -> dict[str, Shape]:
    inner, state, rank, kernel = 2 * h.width, 16, 8, 4
    return {
        "attn_norm": (h.width,),
        "ssm_in": (h.width, 2 * inner),
        "ssm_conv1d": (kernel, inner),
        "ssm_conv1d.bias": (inner,),
        "ssm_x": (inner, rank + 2 * state),
        "ssm_dt": (rank, inner),
        "ssm_dt.bias": (inner,),
        "ssm_a": (state, inner),
        "ssm_d": (inner,),
        "ssm_out": (inner, h.width),
    }


MOE = {"expert_count": 4, "expert_used_count": 2}
NARROW_MOE = MOE | {"expert_feed_forward_length": Hyper().feed_forward}
EQUAL_HEADS = Hyper(kv_heads=4)
HEAD = {"attention.key_length": Hyper().head, "attention.value_length": Hyper().head}
WIDTH = Hyper().width

RERANKERS = {
    # As Qwen3-Reranker: a template, and the probability of "yes" beside "no".
    "qwen3-reranker": Architecture(
        "qwen3", qwen3, around={"cls.output.weight": (WIDTH, 2)},
        more=HEAD | {"pooling_type": 4, "classifier.output_labels": ["yes", "no"]},
    ),
}
RERANK_TEMPLATE = "<|im_start|>user\nAbout: {query}\nDocument: {document}<|im_end|>\n<|im_start|>assistant\n"

ARCHITECTURES = {
    "llama": Architecture("llama", llama),
    "mixtral": Architecture("llama", mixtral, more=MOE),
    "qwen2": Architecture("qwen2", qwen2),
    "qwen3": Architecture("qwen3", qwen3, more=HEAD),
    "qwen3moe": Architecture("qwen3moe", qwen3moe, more=NARROW_MOE | HEAD),
    "gemma": Architecture("gemma", llama, more=HEAD, tied=True),
    "gemma2": Architecture(
        "gemma2", gemma2, Hyper(layers=4), tied=True,
        more=HEAD | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "attention.sliding_window": Hyper().window},
    ),
    # One layer in six looks at everything.
    "gemma3": Architecture("gemma3", gemma3, Hyper(layers=7), tied=True, more=HEAD | {"attention.sliding_window": Hyper().window}),
    "phi2": Architecture("phi2", phi2, biased=True, around={"output.bias": (1024,)}),
    "phi3": Architecture("phi3", phi3),
    "olmo": Architecture("olmo", olmo, weighted=False, more={"attention.clamp_kqv": 8.0}),
    "olmo2": Architecture("olmo2", olmo2),
    "olmoe": Architecture("olmoe", olmoe, EQUAL_HEADS, more=MOE | {"attention.head_count_kv": 4}),
    "granite": Architecture("granite", llama, more={"logit_scale": 8.0, "residual_scale": 0.5, "embedding_scale": 2.0, "attention.scale": 0.1}),
    "smollm3": Architecture("smollm3", llama, tied=True),
    "bloom": Architecture("bloom", gpt, EQUAL_HEADS, biased=True, around={"token_embd_norm.weight": (WIDTH,), "token_embd_norm.bias": (WIDTH,)}),
    "gptneox": Architecture("gptneox", gpt, EQUAL_HEADS, biased=True, more={"use_parallel_residual": True}),
    "gpt2": Architecture("gpt2", gpt, EQUAL_HEADS, biased=True, around={"position_embd.weight": (WIDTH, 512)}),
    "starcoder2": Architecture("starcoder2", starcoder2, biased=True),
    "deepseek2": Architecture(
        "deepseek2", deepseek2,
        more=NARROW_MOE | {
            "attention.head_count_kv": 1, "attention.q_lora_rank": LORA["q"], "attention.kv_lora_rank": LORA["kv"],
            "attention.key_length": LORA["kv"] + LORA["rope"], "attention.value_length": LORA["kv"],
            "attention.key_length_mla": LORA["nope"] + LORA["rope"], "attention.value_length_mla": LORA["value"],
            "rope.dimension_count": LORA["rope"], "leading_dense_block_count": 0, "expert_shared_count": 1, "vocab_size": 1024,
        },
    ),
    "gpt-oss": Architecture("gpt-oss", gpt_oss, more=NARROW_MOE | HEAD | {"attention.sliding_window": Hyper().window}),
    "mamba": Architecture(
        "mamba", mamba,
        more={"ssm.conv_kernel": 4, "ssm.inner_size": 2 * WIDTH, "ssm.state_size": 16, "ssm.time_step_rank": 8, "attention.head_count": 0, "attention.head_count_kv": 0, "feed_forward_length": 0},
    ),
}
