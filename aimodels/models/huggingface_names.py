"""What our parameters are called in the state dicts of Hugging Face's transformers.

Of language models, GPT is `GPT2LMHeadModel`, BERT one of `Bert...` or `DistilBert...` by its head,
T5 `T5ForConditionalGeneration`; `huggingface_configs` has what their config.json says.

`ViTForImageClassification` (also of DeiT's weights without distillation) and
`ResNetForImageClassification`. The files of theirs that have no head (`ViTModel`) leave the first
part of each name out. A norm's epsilon of 1e-12, as google/vit-* state, differs from our 1e-6 by
less than float32 sees.
"""

from collections.abc import Callable
from typing import Any

from aimodels.errors import UserError
from aimodels.models.bert import POOLING, PREDICTING
from aimodels.models.state_dicts import Rules

HEADLESS = ("tokens", "pooled", "sentence")


def _conv_norm(ours: str, theirs: str) -> Rules:
    return [
        (f"{ours}/conv", f"{theirs}.convolution"),
        (f"{ours}/norm", f"{theirs}.normalization"),
    ]


def _vit(model: Any) -> Rules:
    del model
    block, theirs = r"encoder/block_(\d+)", r"vit.encoder.layer.\1"
    return [
        ("class_token", "vit.embeddings.cls_token"),
        ("positions/embedding", "vit.embeddings.position_embeddings"),
        ("embedding", "vit.embeddings.patch_embeddings.projection"),
        (f"{block}/attention_norm", f"{theirs}.layernorm_before"),
        (rf"{block}/attention/(query|key|value)", rf"{theirs}.attention.attention.\2"),
        (f"{block}/attention/out", f"{theirs}.attention.output.dense"),
        (f"{block}/mlp_norm", f"{theirs}.layernorm_after"),
        (f"{block}/mlp/hidden", f"{theirs}.intermediate.dense"),
        (f"{block}/mlp/out", f"{theirs}.output.dense"),
        ("encoder/norm", "vit.layernorm"),
        ("head", "classifier"),
    ]


def _resnet(model: Any) -> Rules:
    del model

    # Their stages and layers count from 0, our stages and convolutions from 1.
    rules = _conv_norm("backbone/stem", "resnet.embedder.embedder")
    for stage in range(4):
        ours = rf"backbone/stage_{stage + 1}_block_(\d+)"
        theirs = rf"resnet.encoder.stages.{stage}.layers.\1"
        rules += _conv_norm(f"{ours}/shortcut", f"{theirs}.shortcut")
        for conv in range(3):
            rules += _conv_norm(f"{ours}/conv_{conv + 1}", f"{theirs}.layer.{conv}")
    return [*rules, ("head", "classifier.1")]


def _gpt(model: Any) -> Rules:
    if not model.use_bias:
        raise UserError(
            "GPT has names of huggingface with use_bias=True only: their GPT-2 has biases"
        )
    block, theirs = r"decoder/block_(\d+)", r"transformer.h.\1"
    return [
        ("embedding", "transformer.wte"),
        ("positions", "transformer.wpe"),
        (f"{block}/attention_norm", f"{theirs}.ln_1"),
        (f"{block}/attention/(?:query|key|value)", f"{theirs}.attn.c_attn"),
        (f"{block}/attention/out", f"{theirs}.attn.c_proj"),
        (f"{block}/mlp_norm", f"{theirs}.ln_2"),
        (f"{block}/mlp/hidden", f"{theirs}.mlp.c_fc"),
        (f"{block}/mlp/out", f"{theirs}.mlp.c_proj"),
        ("decoder/norm", "transformer.ln_f"),
    ]


def _is_distilled(model: Any) -> bool:
    return not model.num_token_types


def _bert_prefix(model: Any) -> str:
    return "distilbert." if _is_distilled(model) else "bert."


def _bert(model: Any) -> Rules:
    # Their models without a head leave the prefix out.
    base = "" if model.head in HEADLESS else _bert_prefix(model)
    classes = {"pretraining": "cls.seq_relationship", "span": "qa_outputs"}
    rules = [
        ("embedding", f"{base}embeddings.word_embeddings"),
        ("positions", f"{base}embeddings.position_embeddings"),
        ("token_types", f"{base}embeddings.token_type_embeddings"),
        ("norm", f"{base}embeddings.LayerNorm"),
        ("classes", classes.get(model.head, "classifier")),
    ]
    block = r"encoder/block_(\d+)"
    if _is_distilled(model):
        theirs = rf"{base}transformer.layer.\1"
        projections = ("query", "q_lin"), ("key", "k_lin"), ("value", "v_lin"), ("out", "out_lin")
        return [
            *rules,
            *((f"{block}/attention/{ours}", f"{theirs}.attention.{q}") for ours, q in projections),
            (f"{block}/attention_norm", f"{theirs}.sa_layer_norm"),
            (f"{block}/mlp/hidden", f"{theirs}.ffn.lin1"),
            (f"{block}/mlp/out", f"{theirs}.ffn.lin2"),
            (f"{block}/mlp_norm", f"{theirs}.output_layer_norm"),
            ("pooler", "pre_classifier"),
            ("transform", "vocab_transform"),
            ("transform_norm", "vocab_layer_norm"),
            ("word_bias", "vocab_projector.bias"),
        ]
    theirs = rf"{base}encoder.layer.\1"
    return [
        *rules,
        (rf"{block}/attention/(query|key|value)", rf"{theirs}.attention.self.\2"),
        (f"{block}/attention/out", f"{theirs}.attention.output.dense"),
        (f"{block}/attention_norm", f"{theirs}.attention.output.LayerNorm"),
        (f"{block}/mlp/hidden", f"{theirs}.intermediate.dense"),
        (f"{block}/mlp/out", f"{theirs}.output.dense"),
        (f"{block}/mlp_norm", f"{theirs}.output.LayerNorm"),
        ("pooler", f"{base}pooler.dense"),
        ("transform", "cls.predictions.transform.dense"),
        ("transform_norm", "cls.predictions.transform.LayerNorm"),
        ("word_bias", "cls.predictions.bias"),
    ]


def _bert_surplus(model: Any) -> dict[str, str | None]:
    """Copies, counters, and the heads that this model has not: a file may have others."""
    base = "" if model.head in HEADLESS else _bert_prefix(model)
    words = f"{base}embeddings.word_embeddings.weight"
    surplus: dict[str, str | None] = {r"(\w+\.)?embeddings\.position_ids": None}
    if model.head in PREDICTING:
        surplus[r"cls\.predictions\.decoder\.weight"] = words
        surplus[r"cls\.predictions\.decoder\.bias"] = "cls.predictions.bias"
        surplus[r"vocab_projector\.weight"] = words
    else:
        surplus[r"(cls\.predictions|vocab_\w+)\..*"] = None
    if model.head not in POOLING:
        surplus[r"((\w+\.)?pooler|pre_classifier)\..*"] = None
    if model.head != "pretraining":
        surplus[r"cls\.seq_relationship\..*"] = None
    if model.head not in ("classification", "tagging"):
        surplus[r"classifier\..*"] = None
    if model.head != "span":
        surplus[r"qa_outputs\..*"] = None
    return surplus


def _t5(model: Any) -> Rules:
    attention = "SelfAttention.relative_attention_bias"
    rules = [("embedding", "shared"), ("head", "lm_head")]
    for stack in ("encoder", "decoder"):
        is_decoder = stack == "decoder"
        block, theirs = rf"{stack}/block_(\d+)", rf"{stack}.block.\1.layer"
        mlp = f"{theirs}.{1 + is_decoder}"
        kinds = [("attention", f"{theirs}.0", "SelfAttention")]
        if is_decoder:
            kinds.append(("memory_attention", f"{theirs}.1", "EncDecAttention"))
        for ours, layer, name in kinds:
            for ourself, letter in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "o")):
                rules.append((f"{block}/{ours}/{ourself}", f"{layer}.{name}.{letter}"))
            norm = {"attention": "attention_norm", "memory_attention": "memory_norm"}[ours]
            rules.append((f"{block}/{norm}", f"{layer}.layer_norm"))
        rules += [
            (f"{block}/mlp/hidden", f"{mlp}.DenseReluDense.{'wi_0' if model.gated else 'wi'}"),
            (f"{block}/mlp/gate", f"{mlp}.DenseReluDense.wi_1"),
            (f"{block}/mlp/out", f"{mlp}.DenseReluDense.wo"),
            (f"{block}/mlp_norm", f"{mlp}.layer_norm"),
            (f"{stack}/norm", f"{stack}.final_layer_norm"),
            (f"{stack}_distances", f"{stack}.block.0.layer.0.{attention}"),
        ]
    return rules


def _t5_surplus(model: Any) -> dict[str, str | None]:
    surplus: dict[str, str | None] = {
        r"(encoder|decoder)\.embed_tokens\.weight": "shared.weight",
        # Of the first files; nothing reads it.
        r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight": None,
    }
    if model.tied:
        surplus[r"lm_head\.weight"] = "shared.weight"
    return surplus


def _gpt_surplus(model: Any) -> dict[str, str | None]:
    del model
    return {
        r"transformer\.h\.\d+\.attn\.(masked_)?bias": None,  # causal masks
        r"(transformer\.)?lm_head\.weight": "transformer.wte.weight",
    }


# A model's class -> its rules, made for its fields.
FAMILIES: dict[str, Callable[[Any], Rules]] = {
    "BERT": _bert,
    "GPT": _gpt,
    "ResNet": _resnet,
    "T5": _t5,
    "VisionTransformer": _vit,
}
# What all names but the head's begin with, and those of files without a head do not.
PREFIXES: dict[str, str | Callable[[Any], str]] = {
    "BERT": _bert_prefix,
    "GPT": "transformer.",
    "ResNet": "resnet.",
    "VisionTransformer": "vit.",
}
# A model's class -> for its fields, patterns on names that it has no array for: those of copies,
# with whose copy it is, and of what it doesn't need.
SURPLUS: dict[str, Callable[[Any], dict[str, str | None]]] = {
    "BERT": _bert_surplus,
    "GPT": _gpt_surplus,
    "T5": _t5_surplus,
}
# GPT-2's layers keep their matrices as [in, out].
UNTURNED = ("GPT",)
# As the first files of BERT, converted from TensorFlow, spell it.
RENAMED = [(r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")]
