"""What config.json of Hugging Face's transformers says of a model, in our fields, and back.

Families: `gpt2`, `bert`, `distilbert` and `t5`. `read` and `section` make the model's section of a
config, `theirs` a config.json that transformers reads.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aimodels.errors import UserError, unknown

# Their name of an activation -> ours. The first that has a name of ours is what is written.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
# The end of their class's name -> the head.
HEADS = {
    "Model": "pooled",
    "ForMaskedLM": "masked_language_model",
    "ForPreTraining": "pretraining",
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tagging",
    "ForQuestionAnswering": "span",
}
# Their field -> what it must be: other values are other models.
ONLY = {
    "is_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
}
GPT2_EPSILON = 1e-5


def read(file: Path) -> dict[str, Any]:
    """The `section` of a file.

    Raises:
        UserError: it can't be read, is no JSON object, or as for `section`.
    """
    try:
        config = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}") from error
    except ValueError as error:  # of JSON, and of UTF-8
        raise UserError(f"{file} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{file} is no JSON object")
    return section(config)


def section(config: Mapping[str, Any]) -> dict[str, Any]:
    """The section of a model, {"name": ..., its fields}, from config.json.

    Raises:
        UserError: the family is unknown, or the model is one that ours are not.
    """
    family = config.get("model_type", "")
    if family not in FAMILIES:
        raise unknown("model_type in config.json", family, FAMILIES)
    for field, value in ONLY.items():
        if family != "t5" and config.get(field, value) != value:
            raise _other(field, config[field], value)
    return FAMILIES[family](config)


def theirs(model: Any) -> dict[str, Any] | None:
    """config.json for one of our models; None for a model of another kind."""
    writers: dict[str, Callable[[Any], dict[str, Any]]] = {
        "BERT": _from_bert,
        "GPT": _from_gpt,
        "T5": _from_t5,
    }
    name = type(model).__name__
    return writers[name](model) if name in writers else None


def config_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """A whole config around a model's section. Its data, random tokens, stand for the user's."""
    tasks = {
        "GPT": "language_model",
        "T5": "text_to_text",
        "masked_language_model": "masked_language_model",
        "pretraining": "masked_language_model",
    }
    task = tasks.get(model["name"]) or tasks.get(model["head"], "classification")
    return {
        "model": dict(model),
        "task": {"name": task},
        "data": {
            "name": "random_tokens",
            "vocabulary": model["vocabulary"],
            "length": min(model["max_length"], 128),
        },
        "optimizer": {"name": "sgd", "learning_rate": 1e-3},
        "training": {"steps": 1, "batch_size": 8},
        "evaluation": {"batch_size": 8},
    }


def _gpt(config: Mapping[str, Any]) -> dict[str, Any]:
    width = _needed(config, "n_embd")
    if config.get("n_inner") not in (None, 4 * width):
        raise _other("n_inner", config["n_inner"], 4 * width)
    if config.get("layer_norm_epsilon", GPT2_EPSILON) != GPT2_EPSILON:
        raise _other("layer_norm_epsilon", config["layer_norm_epsilon"], GPT2_EPSILON)
    return {
        "name": "GPT",
        "vocabulary": _needed(config, "vocab_size"),
        "width": width,
        "num_layers": _needed(config, "n_layer"),
        "num_heads": _needed(config, "n_head"),
        "max_length": config.get("n_positions", 1024),
        "use_bias": True,
        "activation": _activation(config, "activation_function", "gelu_new"),
        "dropout_rate": float(config.get("resid_pdrop", 0.1)),
    }


def _from_gpt(model: Any) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": model.vocabulary,
        "n_embd": model.width,
        "n_layer": model.num_layers,
        "n_head": model.num_heads,
        "n_positions": model.max_length,
        "activation_function": _written(model.activation),
        "layer_norm_epsilon": GPT2_EPSILON,
        **{f"{where}_pdrop": model.dropout_rate for where in ("resid", "embd", "attn")},
        # Theirs are 50256 where nothing is said.
        **{f"{end}_token_id": 50_256 if model.vocabulary == 50_257 else None for end in ENDS},
    }


def _bert(config: Mapping[str, Any]) -> dict[str, Any]:
    head = _head(config, "Bert")
    return {
        "name": "BERT",
        "head": head,
        **_classes(config, head),
        "vocabulary": _needed(config, "vocab_size"),
        "width": _needed(config, "hidden_size"),
        "num_layers": _needed(config, "num_hidden_layers"),
        "num_heads": _needed(config, "num_attention_heads"),
        "mlp_width": _needed(config, "intermediate_size"),
        "max_length": config.get("max_position_embeddings", 512),
        "num_token_types": config.get("type_vocab_size", 2),
        "activation": _activation(config, "hidden_act", "gelu"),
        "epsilon": float(config.get("layer_norm_eps", 1e-12)),
        "dropout_rate": float(config.get("hidden_dropout_prob", 0.1)),
        "attention_dropout_rate": float(config.get("attention_probs_dropout_prob", 0.1)),
    }


def _distilbert(config: Mapping[str, Any]) -> dict[str, Any]:
    head = _head(config, "DistilBert")
    return {
        "name": "BERT",
        "head": "tokens" if head == "pooled" else head,
        **_classes(config, head),
        "vocabulary": _needed(config, "vocab_size"),
        "width": _needed(config, "dim"),
        "num_layers": _needed(config, "n_layers"),
        "num_heads": _needed(config, "n_heads"),
        "mlp_width": _needed(config, "hidden_dim"),
        "max_length": config.get("max_position_embeddings", 512),
        "num_token_types": 0,
        "activation": _activation(config, "activation", "gelu"),
        "pooler_activation": "relu",
        "epsilon": 1e-12,
        "dropout_rate": float(config.get("dropout", 0.1)),
        "attention_dropout_rate": float(config.get("attention_dropout", 0.1)),
    }


def _from_bert(model: Any) -> dict[str, Any]:
    ends = {head: end for end, head in HEADS.items()} | {"tokens": "Model", "sentence": "Model"}
    is_distilled = not model.num_token_types
    classes = {"num_labels": model.num_classes or 2} if model.num_classes else {}
    attention_dropout = model.attention_dropout_rate
    if attention_dropout is None:
        attention_dropout = model.dropout_rate
    mlp_width = model.mlp_width or 4 * model.width
    if is_distilled:
        return {
            "model_type": "distilbert",
            "architectures": [f"DistilBert{ends[model.head]}"],
            "vocab_size": model.vocabulary,
            "dim": model.width,
            "n_layers": model.num_layers,
            "n_heads": model.num_heads,
            "hidden_dim": mlp_width,
            "max_position_embeddings": model.max_length,
            "activation": _written(model.activation),
            "dropout": model.dropout_rate,
            "attention_dropout": attention_dropout,
            **_labels(classes),
        }
    return {
        "model_type": "bert",
        "architectures": [f"Bert{ends[model.head]}"],
        "vocab_size": model.vocabulary,
        "hidden_size": model.width,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "intermediate_size": mlp_width,
        "max_position_embeddings": model.max_length,
        "type_vocab_size": model.num_token_types,
        "hidden_act": _written(model.activation),
        "layer_norm_eps": model.epsilon,
        "hidden_dropout_prob": model.dropout_rate,
        "attention_probs_dropout_prob": attention_dropout,
        **_labels(classes),
    }


def _t5(config: Mapping[str, Any]) -> dict[str, Any]:
    feed_forward = config.get("feed_forward_proj", "relu")
    gate, _, activation = feed_forward.rpartition("-")
    # Their "gated-gelu" is the tanh form.
    activation = "gelu_new" if feed_forward == "gated-gelu" else activation
    tied = config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True))
    layers = _needed(config, "num_layers")
    return {
        "name": "T5",
        "vocabulary": _needed(config, "vocab_size"),
        "width": _needed(config, "d_model"),
        "num_layers": layers,
        "num_decoder_layers": config.get("num_decoder_layers") or layers,
        "num_heads": _needed(config, "num_heads"),
        "head_width": _needed(config, "d_kv"),
        "mlp_width": _needed(config, "d_ff"),
        "activation": _activation({"feed_forward_proj": activation}, "feed_forward_proj", "relu"),
        "gated": gate == "gated",
        "tied": bool(tied),
        "num_buckets": config.get("relative_attention_num_buckets", 32),
        "max_distance": config.get("relative_attention_max_distance", 128),
        "dropout_rate": float(config.get("dropout_rate", 0.1)),
        "epsilon": float(config.get("layer_norm_epsilon", 1e-6)),
        "max_length": config.get("n_positions", 512),
    }


def _from_t5(model: Any) -> dict[str, Any]:
    activation = _written(model.activation)
    if model.gated:
        activation = "gated-gelu" if activation == "gelu_new" else f"gated-{activation}"
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "vocab_size": model.vocabulary,
        "d_model": model.width,
        "num_layers": model.num_layers,
        "num_decoder_layers": model.num_decoder_layers or model.num_layers,
        "num_heads": model.num_heads,
        "d_kv": model.head_width,
        "d_ff": model.mlp_width,
        "feed_forward_proj": activation,
        "tie_word_embeddings": model.tied,
        "relative_attention_num_buckets": model.num_buckets,
        "relative_attention_max_distance": model.max_distance,
        "dropout_rate": model.dropout_rate,
        "layer_norm_epsilon": model.epsilon,
        "n_positions": model.max_length,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


FAMILIES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "bert": _bert,
    "distilbert": _distilbert,
    "gpt2": _gpt,
    "t5": _t5,
}
ENDS = ("bos", "eos")


def _head(config: Mapping[str, Any], start: str) -> str:
    (name, *_) = [*(config.get("architectures") or ()), f"{start}Model"]
    end = name.removeprefix(start)
    if end not in HEADS:
        raise unknown("architecture in config.json", name, [start + end for end in HEADS])
    return HEADS[end]


def _classes(config: Mapping[str, Any], head: str) -> dict[str, Any]:
    if head not in ("classification", "tagging"):
        return {}
    return {"num_classes": len(config.get("id2label") or ()) or config.get("num_labels", 2)}


def _labels(classes: Mapping[str, int]) -> dict[str, Any]:
    labels = [f"LABEL_{index}" for index in range(classes.get("num_labels", 0))]
    if not labels:
        return {}
    return {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _needed(config: Mapping[str, Any], field: str) -> int:
    if not isinstance(config.get(field), int):
        raise UserError(f"config.json: {field} is {config.get(field)!r}; it takes a whole number")
    return config[field]


def _activation(config: Mapping[str, Any], field: str, default: str) -> str:
    name = config.get(field, default)
    if name not in ACTIVATIONS:
        raise unknown(f"{field} in config.json", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def _written(activation: str) -> str:
    for name, ours in ACTIVATIONS.items():
        if ours == activation:
            return name
    raise unknown("activation in transformers", activation, ACTIVATIONS.values())


def _other(field: str, got: Any, takes: Any) -> UserError:
    return UserError(f"config.json: {field} is {got!r}; our model takes {takes!r} only")
