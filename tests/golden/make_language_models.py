"""Makes language_models.npz: what transformers and PyTorch compute on weights made from their names.

python tests/golden/make_language_models.py     # needs transformers (pip install 'aimodels[goldens]')
python tests/golden/make_language_models.py --check FOLDER   # that it reads what aimodels exported

Each case has transformers' config.json, the names and shapes in its file, and outputs. Weights are
those of `seeded_weights`; PyTorch computes in float64, in evaluation. FOLDER has a folder of each
case with model.safetensors and config.json, as `test_exports_are_whole` leaves them with
AIMODELS_EXPORTS=FOLDER.
"""  # noqa: E501

import argparse
import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from seeded_weights import seeded
from torch import nn
from transformers.models.t5.modeling_t5 import T5Attention

SOURCE, TARGET, VOCABULARY = 7, 5, 23
LENGTHS = torch.tensor([SOURCE, 4])

GPT2 = transformers.GPT2Config(
    vocab_size=VOCABULARY,
    n_positions=16,
    n_embd=12,
    n_layer=2,
    n_head=2,
    bos_token_id=0,
    eos_token_id=0,
)
BERT = transformers.BertConfig(
    vocab_size=VOCABULARY,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=20,
    max_position_embeddings=16,
    num_labels=3,
)
DISTILBERT = transformers.DistilBertConfig(
    vocab_size=VOCABULARY,
    dim=12,
    n_layers=2,
    n_heads=2,
    hidden_dim=20,
    max_position_embeddings=16,
    num_labels=3,
)
T5_FIELDS: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 12,
    "d_kv": 4,
    "d_ff": 20,
    "num_layers": 2,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 6,
}
T5 = transformers.T5Config(**T5_FIELDS)
T5_V1_1 = transformers.T5Config(
    **T5_FIELDS, num_decoder_layers=1, feed_forward_proj="gated-gelu", tie_word_embeddings=False
)

# Case -> their class, its config, and the fields of its output.
CASES = {
    "gpt2": ("GPT2LMHeadModel", GPT2, ("logits",)),
    "bert": ("BertModel", BERT, ("last_hidden_state", "pooler_output")),
    "bert_masked": ("BertForMaskedLM", BERT, ("logits",)),
    "bert_pretraining": (
        "BertForPreTraining",
        BERT,
        ("prediction_logits", "seq_relationship_logits"),
    ),
    "bert_classification": ("BertForSequenceClassification", BERT, ("logits",)),
    "bert_tagging": ("BertForTokenClassification", BERT, ("logits",)),
    "bert_span": ("BertForQuestionAnswering", BERT, ("start_logits", "end_logits")),
    "distilbert": ("DistilBertModel", DISTILBERT, ("last_hidden_state",)),
    "distilbert_masked": ("DistilBertForMaskedLM", DISTILBERT, ("logits",)),
    "distilbert_classification": ("DistilBertForSequenceClassification", DISTILBERT, ("logits",)),
    "distilbert_tagging": ("DistilBertForTokenClassification", DISTILBERT, ("logits",)),
    "distilbert_span": ("DistilBertForQuestionAnswering", DISTILBERT, ("start_logits", "end_logits")),  # noqa: E501
    "t5": ("T5ForConditionalGeneration", T5, ("logits",)),
    "t5_v1_1": ("T5ForConditionalGeneration", T5_V1_1, ("logits",)),
}  # fmt: skip


def ids() -> dict[str, torch.Tensor]:
    """Sources and targets, and which sentence a token of the source is in."""
    rng = np.random.default_rng(0)
    return {
        "inputs": torch.tensor(rng.integers(0, VOCABULARY, (2, SOURCE))),
        "decoder_inputs": torch.tensor(rng.integers(0, VOCABULARY, (2, TARGET))),
        "token_types": (torch.arange(SOURCE) > 2).long().expand(2, -1),
        "lengths": LENGTHS,
    }


def outputs_of(case: str, model: nn.Module) -> dict[str, np.ndarray]:
    """What the model of a case computes of `ids`."""
    given = ids()
    keywords = {
        "input_ids": given["inputs"],
        "attention_mask": (torch.arange(SOURCE) < LENGTHS[:, None]).long(),
    }
    if case.startswith("bert"):
        keywords["token_type_ids"] = given["token_types"]
    if case.startswith("t5"):
        keywords["decoder_input_ids"] = given["decoder_inputs"]
    with torch.no_grad():
        found = model.double().eval()(**keywords)
    return {name: found[name].numpy().astype(np.float32) for name in CASES[case][2]}


def record(case: str, arrays: dict[str, np.ndarray]) -> None:
    """Adds a case of transformers."""
    name, config, _ = CASES[case]
    config = copy.deepcopy(config)
    if case.endswith("span"):
        config.num_labels = 2
    make = getattr(transformers, name)
    with tempfile.TemporaryDirectory() as folder:
        # Through a file: within the library, names change with its versions.
        make(config).save_pretrained(folder)
        file = Path(folder, "model.safetensors")
        shapes = {key: list(array.shape) for key, array in load_file(file).items()}
        if case == "t5_v1_1":  # fresh models of theirs are tied; files of v1.1 have this too
            shapes["lm_head.weight"] = shapes["shared.weight"]
        state = {key: torch.tensor(seeded(key, tuple(shape))) for key, shape in shapes.items()}
        save_file(state, file, metadata={"format": "pt"})
        model = make.from_pretrained(folder)
        arrays[f"{case}/config"] = np.array(Path(folder, "config.json").read_text())
    arrays[f"{case}/shapes"] = np.array(json.dumps(shapes))
    arrays |= {f"{case}/{key}": array for key, array in outputs_of(case, model).items()}


def record_transformer(case: str, norm_first: bool, arrays: dict[str, np.ndarray]) -> None:
    """PyTorch's nn.Transformer on seeded vectors; post-norm as in the paper, no norm at the end."""
    fields = {"d_model": 12, "nhead": 2, "dim_feedforward": 20, "dropout": 0.0}
    fields |= {"batch_first": True, "norm_first": norm_first}
    layers = nn.TransformerEncoderLayer(**fields), nn.TransformerDecoderLayer(**fields)
    ends = [nn.LayerNorm(12) if norm_first else None for _ in layers]
    model = nn.Transformer(
        custom_encoder=nn.TransformerEncoder(layers[0], 2, ends[0], enable_nested_tensor=False),
        custom_decoder=nn.TransformerDecoder(layers[1], 2, ends[1]),
        d_model=12,
        nhead=2,
        batch_first=True,
    )
    shapes = {key: list(array.shape) for key, array in model.state_dict().items()}
    model.load_state_dict({k: torch.tensor(seeded(k, tuple(s))) for k, s in shapes.items()})
    table = torch.tensor(seeded("embedding", (VOCABULARY, 12))).double()
    given = ids()
    # Section 3.4 and 3.5 of the paper.
    angles = torch.arange(16).double()[:, None] / 10_000 ** (torch.arange(0, 12, 2).double() / 12)
    positions = torch.stack([angles.sin(), angles.cos()], -1).reshape(16, 12)

    def embed(tokens: torch.Tensor) -> torch.Tensor:
        return table[tokens] * 12**0.5 + positions[: tokens.shape[1]]

    padding = torch.arange(SOURCE) >= LENGTHS[:, None]
    with torch.no_grad():
        found = model.double().eval()(
            embed(given["inputs"]),
            embed(given["decoder_inputs"]),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_mask=torch.triu(torch.ones(TARGET, TARGET), 1).bool(),
        )
    arrays[f"{case}/shapes"] = np.array(json.dumps(shapes))
    arrays[f"{case}/logits"] = (found @ table.T).numpy().astype(np.float32)


def main() -> None:
    """Writes the cases beside this file, or checks what was exported."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", metavar="FOLDER")
    folder = parser.parse_args().check
    file = Path(__file__).with_name("language_models.npz")
    if folder:
        with np.load(file) as known:
            for case, (name, _, _) in CASES.items():
                model = getattr(transformers, name).from_pretrained(Path(folder, case))
                for key, array in outputs_of(case, model).items():
                    # Float32 weights, read from two files.
                    np.testing.assert_allclose(array, known[f"{case}/{key}"], atol=1e-6)
                print(case, "is read")
        return
    arrays = {f"ids/{name}": array.numpy().astype(np.int32) for name, array in ids().items()}
    for case in CASES:
        record(case, arrays)
    record_transformer("transformer_post", False, arrays)
    record_transformer("transformer_pre", True, arrays)
    for both_ways in (True, False):
        arrays[f"buckets/{'both' if both_ways else 'one'}"] = (
            T5Attention._relative_position_bucket(
                torch.arange(-300, 301), bidirectional=both_ways, num_buckets=32, max_distance=128
            )
            .numpy()
            .astype(np.int32)
        )
    np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main()
