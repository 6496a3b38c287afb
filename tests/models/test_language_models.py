"""BERT, T5, GPT-2 and the Transformer of translation: parity, weights in and out, caches."""

import functools
import importlib.util
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_layout
from torch_layout import GOLDEN, load

from aimodels.config import call_section, named_section
from aimodels.errors import UserError
from aimodels.models import BERT, GPT, T5, EncoderDecoderTransformer, huggingface_configs
from aimodels.models.encoder_decoder import shifted_right
from aimodels.models.generation import beam_search, generate
from aimodels.models.state_dicts import from_state_dict, places, to_state_dict
from aimodels.modules.positions import relative_buckets
from aimodels.weights import write_safetensors

spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
seeded_weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seeded_weights)

QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
IDS = load("language_models", "ids")
INPUTS, LENGTHS, TARGETS = IDS["inputs"], IDS["lengths"], IDS["decoder_inputs"]
VALID = np.arange(INPUTS.shape[1]) < LENGTHS[:, None]
# PyTorch computed in float64; float32 loses 6e-8 at each of a dozen layers, relative to the
# largest of the values that are added.
CLOSE = 1e-4
# Other orders of summation of float32 numbers.
CACHED = 1e-5

BERTS = ("", "_masked", "_pretraining", "_classification", "_tagging", "_span")
CASES = (
    "gpt2",
    *(f"bert{head}" for head in BERTS),
    *(f"distilbert{head}" for head in BERTS if head != "_pretraining"),
    "t5",
    "t5_v1_1",
)


def made(section):
    return call_section("model", named_section("model", section, "model"))


def keywords_of(model):
    if isinstance(model, T5 | EncoderDecoderTransformer):
        return {"decoder_inputs": TARGETS, "lengths": LENGTHS}
    if isinstance(model, BERT) and model.num_token_types:
        return {"token_types": IDS["token_types"], "lengths": LENGTHS}
    return {"lengths": LENGTHS}


def shapes_of(model):
    return jax.eval_shape(model.init, jax.random.key(0), INPUTS, **keywords_of(model))


def apply(model, variables, *args, **kwargs):
    """One program each: op by op these tests would take five times as long."""
    method = kwargs.pop("method", None)

    def run(variables, args, kwargs):
        return model.apply(variables, *args, **kwargs, method=method)

    return jax.jit(run, compiler_options=QUICKLY)(variables, args, kwargs)


def case_of(case, **fields):
    """The model that a case's config.json describes, its state dict, and what it computes."""
    golden = load("language_models", case)
    section = huggingface_configs.section(json.loads(str(golden["config"])))
    model = made(section | fields)
    shapes = json.loads(str(golden["shapes"]))
    state = {name: seeded_weights.seeded(name, tuple(shape)) for name, shape in shapes.items()}
    return model, state, golden


def compare(found, expected, valid=None):
    if valid is not None:
        found, expected = np.asarray(found)[valid], expected[valid]
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES)
def test_equals_transformers(case):
    """Masks, an odd length and token types are in all of them."""
    model, state, golden = case_of(case)
    variables = from_state_dict("huggingface", model, state, shapes_of(model))
    found = apply(model, variables, INPUTS, **keywords_of(model))
    if case == "bert":
        compare(found, golden["pooler_output"])
        model = model.clone(head="tokens")
        variables = from_state_dict("huggingface", model, state, shapes_of(model))
        found = apply(model, variables, INPUTS, **keywords_of(model))
        compare(found, golden["last_hidden_state"], VALID)
    elif case == "distilbert":
        compare(found, golden["last_hidden_state"], VALID)
    elif case == "bert_pretraining":
        compare(found.tokens, golden["prediction_logits"], VALID)
        compare(found.next_sentence, golden["seq_relationship_logits"])
    elif case.endswith("span"):
        compare(found[..., 0], golden["start_logits"], VALID)
        compare(found[..., 1], golden["end_logits"], VALID)
    elif case.endswith("classification") or isinstance(model, T5):
        compare(found, golden["logits"])
    else:
        compare(found, golden["logits"], VALID)


@pytest.mark.parametrize("case", CASES)
def test_exports_are_whole(case, tmp_path):
    """The names and shapes of transformers' own file, the same numbers, and the config they need.

    make_language_models.py --check reads what AIMODELS_EXPORTS keeps.
    """
    model, state, golden = case_of(case)
    variables = from_state_dict("huggingface", model, state, shapes_of(model))
    again = to_state_dict("huggingface", model, variables)
    assert again.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(again[name], array)
    config = huggingface_configs.theirs(model)
    assert huggingface_configs.section(config) == huggingface_configs.section(
        json.loads(str(golden["config"]))
    )
    folder = Path(os.environ.get("AIMODELS_EXPORTS", tmp_path), case)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", again)


@pytest.mark.parametrize("case", ["gpt2", "bert_masked", "t5"])
def test_files_hold_copies_and_what_is_no_weight(case):
    model, state, _ = case_of(case)
    variables = from_state_dict("huggingface", model, state, shapes_of(model))
    extra, table = {
        "gpt2": (
            {"lm_head.weight": "", "transformer.h.0.attn.bias": np.ones((1, 1, 4, 4), np.int32)},
            "transformer.wte.weight",
        ),
        "bert_masked": (
            {"cls.predictions.decoder.weight": "", "bert.embeddings.position_ids": np.arange(4)},
            "bert.embeddings.word_embeddings.weight",
        ),
        "t5": ({"lm_head.weight": "", "decoder.embed_tokens.weight": ""}, "shared.weight"),
    }[case]
    extra = {name: state[table] if isinstance(a, str) else a for name, a in extra.items()}
    again = from_state_dict("huggingface", model, state | extra, shapes_of(model))
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    copy = next(iter(extra))
    extra[copy] = extra[copy] + 1
    with pytest.raises(UserError, match=f"{copy}: differs from {table}"):
        from_state_dict("huggingface", model, state | extra, shapes_of(model))


def test_names_of_older_and_barer_files():
    model, state, _ = case_of("bert_masked")
    variables = from_state_dict("huggingface", model, state, shapes_of(model))
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): array
        for name, array in state.items()
    }
    again = from_state_dict("huggingface", model, old, shapes_of(model))
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    # A model without a head takes the file of one with a head, and the other way round: no.
    bare = model.clone(head="tokens")
    found = from_state_dict("huggingface", bare, state, shapes_of(bare))
    for name, leaves in found["params"].items():
        jax.tree.map(np.testing.assert_array_equal, leaves, variables["params"][name])
    exported = to_state_dict("huggingface", bare, found)
    with pytest.raises(UserError, match=r"missing: cls\.predictions\.bias"):
        from_state_dict("huggingface", model, exported, shapes_of(model))
    gpt, state, _ = case_of("gpt2")
    without = {name.removeprefix("transformer."): array for name, array in state.items()}
    from_state_dict("huggingface", gpt, without, shapes_of(gpt))
    with pytest.raises(UserError, match="use_bias=True only"):
        places("huggingface", gpt.clone(use_bias=False), shapes_of(gpt.clone(use_bias=False)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "bret"}, "unknown model_type in config.json 'bret'. Did you mean 'bert'"),
        ({"is_decoder": True}, "is_decoder is True; our model takes False only"),
        ({"position_embedding_type": "relative_key"}, "takes 'absolute' only"),
        ({"hidden_size": None}, "hidden_size is None; it takes a whole number"),
        ({"hidden_act": "gellu"}, "unknown hidden_act in config.json 'gellu'. Did you mean 'gelu'"),
        ({"architectures": ["BertLMHeadModel"]}, "unknown architecture in config.json"),
    ],
)
def test_configs_that_are_of_other_models_are_refused(change, says):
    config = json.loads(str(load("language_models", "bert")["config"]))
    with pytest.raises(UserError) as error:
        huggingface_configs.section(config | change)
    assert says in str(error.value)


@pytest.mark.parametrize("case", ["transformer_post", "transformer_pre"])
def test_equals_pytorchs_transformer(case):
    golden = load("language_models", case)
    model = EncoderDecoderTransformer(
        23, width=12, num_layers=2, num_heads=2, mlp_width=20, norm_position=case[12:]
    )
    shapes = json.loads(str(golden["shapes"]))
    state = {name: seeded_weights.seeded(name, tuple(shape)) for name, shape in shapes.items()}
    params = {
        "embedding": {"embedding": seeded_weights.seeded("embedding", (23, 12))},
        **{
            side: torch_layout.encoder(torch_layout.under(state, f"{side}."), 2)
            for side in ("encoder", "decoder")
        },
    }
    variables = {"params": params}
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes_of(model))
    found = apply(model, variables, INPUTS, **keywords_of(model))
    compare(found, golden["logits"])
    check_cached(model, variables, found)


@pytest.mark.parametrize("case", ["t5", "t5_v1_1"])
def test_t5_decodes_with_a_cache(case):
    model, state, golden = case_of(case)
    variables = from_state_dict("huggingface", model, state, shapes_of(model))
    check_cached(model, variables, golden["logits"], CLOSE)


def check_cached(model, variables, logits, tolerance=CACHED):
    """Three target tokens at once, of which the second row has two; then one after the other."""
    cache = apply(model, variables, INPUTS, lengths=LENGTHS, method="read")
    known = np.array([3, 2])
    found, cache = apply(model, variables, TARGETS[:, :3], cache, lengths=known, method="decode")
    scale = tolerance * np.abs(logits).max()
    rows = np.arange(2)
    np.testing.assert_allclose(found[rows, known - 1], logits[rows, known - 1], atol=scale)

    @functools.partial(jax.jit, compiler_options=QUICKLY)
    def step(token, cache):
        return model.apply(variables, token, cache, method="decode")

    for time in range(2):
        found, cache = step(TARGETS[rows, known + time][:, None], cache)
        np.testing.assert_allclose(found[:, 0], logits[rows, known + time], atol=scale)


def test_generation_goes_on_from_what_was_read():
    """Greedy search and a beam of one are the argmax of the whole model, token after token."""
    model, state, _ = case_of("t5", max_length=8)
    variables = from_state_dict("huggingface", model, state, shapes_of(model))
    cache = apply(model, variables, INPUTS, lengths=LENGTHS, method="read")
    start = np.zeros((2, 1), np.int32)

    @functools.partial(jax.jit, compiler_options=QUICKLY)
    def whole(decoder_inputs):
        return model.apply(
            variables, INPUTS, decoder_inputs=decoder_inputs, lengths=jnp.asarray(LENGTHS)
        )

    expected = start
    for time in range(4):  # padding behind changes nothing before it
        best = np.asarray(whole(np.pad(expected, ((0, 0), (0, 3 - time)))))[:, time].argmax(-1)
        expected = np.concatenate([expected, best[:, None].astype(np.int32)], axis=1)

    @functools.partial(jax.jit, compiler_options=QUICKLY)
    def search(variables, cache):
        key = jax.random.key(0)
        greedy = generate(model, variables, start, 4, key, temperature=0.0, cache=cache)
        return greedy, beam_search(model, variables, start, 4, beams=1, cache=cache)[0][:, 0]

    for found in search(variables, cache):
        np.testing.assert_array_equal(found, expected[:, 1:])


def test_buckets_of_distances_are_transformers():
    golden = load("language_models", "buckets")
    for name, both_ways in (("both", True), ("one", False)):
        found = relative_buckets(jnp.arange(-300, 301), both_ways=both_ways)
        np.testing.assert_array_equal(found, golden[name])


def test_targets_are_shifted_right():
    np.testing.assert_array_equal(shifted_right(jnp.array([[4, 5, 6]]), 9), [[9, 4, 5]])


def test_initial_values_are_as_published():
    """T5: mesh_tensorflow's; queries are smaller by √K, since logits aren't divided by it."""
    model = T5(400, width=64, num_layers=1, num_heads=4, head_width=16, mlp_width=256)
    params = jax.jit(model.init)(jax.random.key(0), INPUTS, decoder_inputs=TARGETS)["params"]
    block = params["encoder"]["block_0"]
    for leaf, deviation in (
        (params["embedding"]["embedding"], 1.0),
        (block["attention"]["query"]["kernel"], (64 * 16) ** -0.5),
        (block["attention"]["key"]["kernel"], 64**-0.5),
        (block["attention"]["out"]["kernel"], 64**-0.5),
        (block["mlp"]["hidden"]["kernel"], 64**-0.5),
        (block["mlp"]["out"]["kernel"], 256**-0.5),
    ):
        # 4,096 draws or more: the deviation is known to 1.1 %
        assert float(leaf.std()) == pytest.approx(deviation, rel=0.05)


def test_places_ask_for_some_words_only():
    model, state, _ = case_of("bert_masked")
    variables = from_state_dict("huggingface", model, state, shapes_of(model))
    everywhere = apply(model, variables, INPUTS, **keywords_of(model))
    at = np.array([[2, 0], [3, 3]])
    found = apply(model, variables, INPUTS, places=at, **keywords_of(model))
    np.testing.assert_allclose(
        found, np.take_along_axis(np.asarray(everywhere), at[..., None], 1), atol=1e-5
    )


def test_vectors_of_sentences_do_not_see_padding():
    model = BERT(head="sentence", vocabulary=23, width=12, num_layers=1, num_heads=2)
    variables = jax.jit(model.init)(jax.random.key(0), INPUTS)
    found = apply(model, variables, INPUTS, lengths=LENGTHS)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-6)
    other = np.where(VALID, INPUTS, 22 - INPUTS)
    np.testing.assert_allclose(apply(model, variables, other, lengths=LENGTHS), found, atol=1e-6)
    cut = apply(model, variables, INPUTS[1:, : LENGTHS[1]])
    np.testing.assert_allclose(cut[0], found[1], atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"head": "classes"}, "unknown head of BERT 'classes'"),
        ({"head": "tagging"}, "head 'tagging' needs num_classes"),
        ({"num_classes": 3}, "head 'pooled' takes no num_classes"),
    ],
)
def test_heads_that_do_not_fit_are_named(fields, says):
    with pytest.raises(UserError, match=says):
        jax.eval_shape(BERT(**fields).init, jax.random.key(0), INPUTS)


def test_what_a_model_has_not_is_named():
    model = BERT(num_token_types=0, width=12, num_heads=2, num_layers=1, vocabulary=23)
    with pytest.raises(UserError, match="no token types"):
        jax.eval_shape(model.init, jax.random.key(0), INPUTS, token_types=INPUTS)
    with pytest.raises(UserError, match="reads a target too"):
        jax.eval_shape(T5().init, jax.random.key(0), INPUTS)
    assert isinstance(case_of("gpt2")[0], GPT)
