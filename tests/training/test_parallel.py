"""Every layout of eight devices trains, evaluates and saves what one device does."""

import functools
import json
import math
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from aimodels.config import resolve
from aimodels.errors import UserError
from aimodels.training.assembly import Assembly
from aimodels.training.evaluation import Evaluator
from aimodels.training.layouts import SMALL, axes_of
from aimodels.training.load import load
from aimodels.training.parallel import path_of
from aimodels.training.run import train
from aimodels.training.step import Plan

DIGITS, SIGNALS = {"name": "digits"}, {"name": "mnist1d"}
TOKENS = {"name": "random_tokens", "vocabulary": 64, "length": 16, "train_size": 256}
MODELS = {
    "MLP": ({"name": "MLP", "features": (64, 64), "num_classes": 10}, DIGITS),
    "CNN": ({"name": "CNN", "features": (16, 32), "num_classes": 10, "batch_norm": True}, DIGITS),
    "GRU": (
        {"name": "RecurrentClassifier", "cell": "gru", "features": 40, "num_classes": 10},
        SIGNALS,
    ),
    "Transformer": (
        {
            "name": "TransformerClassifier",
            "width": 32,
            "num_layers": 1,
            "patch_size": 4,
            "num_classes": 10,
        },
        SIGNALS,
    ),
    "GPT": ({"name": "GPT", "vocabulary": 64, "width": 64, "num_layers": 2}, TOKENS),
}
LAYOUTS = {
    "one": {},
    "data": {"data": 8},
    "fsdp": {"data": 8, "rules": "fsdp"},
    "tensor": {"data": 2, "model": 4, "rules": "tensor"},
    "fsdp_tensor": {"data": 2, "model": 4, "rules": "fsdp_tensor"},
    "fsdp, rematerialised": {"data": 8, "rules": "fsdp", "remat": "blocks"},
    "pmap": {"data": 8, "strategy": "pmap"},
}
# Models of which only few arrays have an axis that a list divides.
REMATERIALISED = ("GRU", "Transformer", "GPT")


def config_of(model, layout, **training):
    architecture, data = MODELS[model]
    return resolve(
        {
            "model": architecture,
            "task": {"name": "classification"},
            "data": data,
            "optimizer": {"name": "adam", "learning_rate": 1e-3},
            "training": {"steps": 20, "batch_size": 32, **training},
            "evaluation": {"splits": ("test[:100]",), "batch_size": 32},
            "parallel": LAYOUTS[layout],
        }
    )


@functools.cache
def trained(model, layout, gradient_accumulation=1):
    """The losses of 20 steps, the state after them, and its evaluation."""
    config = config_of(model, layout, gradient_accumulation=gradient_accumulation)
    assembly = Assembly(config)
    feed = assembly.feeds()()
    program = assembly.program(Plan(1, "sequential"))
    state, losses = program.init(feed, assembly.target()), []
    for step in range(20):
        state, report = program.run(state, feed, step, 1)
        losses.append(float(report.metrics["loss"][0]))
    scalars, arrays = Evaluator(config, assembly.layout)(program, state, 20)
    return losses, state, scalars["test[:100]"], arrays["test[:100]"]


def assert_the_same(got, expected, examples):
    losses, _, scalars, arrays = got
    # Sums over a batch, and over the inputs of a layer, in another order.
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
    np.testing.assert_array_equal(arrays["confusion"], expected[3]["confusion"])
    assert np.sum(arrays["confusion"]) == examples
    assert scalars["accuracy"] == expected[2]["accuracy"]
    np.testing.assert_allclose(scalars["loss"], expected[2]["loss"], rtol=1e-5)


def examples_of(model):
    return 1600 if model == "GPT" else 100  # tokens, of which each is classified


@pytest.mark.parametrize("layout", ["data", "fsdp", "tensor", "fsdp_tensor"])
@pytest.mark.parametrize("model", MODELS)
def test_eight_devices_equal_one(model, layout):
    assert_the_same(trained(model, layout), trained(model, "one"), examples_of(model))


@pytest.mark.parametrize("model", REMATERIALISED)
def test_rematerialised_blocks_equal_kept_ones(model):
    assert_the_same(
        trained(model, "fsdp, rematerialised"), trained(model, "one"), examples_of(model)
    )


@pytest.mark.parametrize("model", ["MLP", "GPT"])
def test_an_accumulated_batch_on_several_devices_equals_a_whole_one(model):
    got = trained(model, "fsdp_tensor", gradient_accumulation=4)
    assert_the_same(got, trained(model, "one"), examples_of(model))


@pytest.mark.parametrize("model", ["MLP", "CNN", "GRU", "Transformer", "GPT"])
def test_pmap_equals_jit(model):
    assert_the_same(trained(model, "pmap"), trained(model, "one"), examples_of(model))


def test_pmap_trains_replicas_and_is_resumed(tmp_path):
    config = config_of("MLP", "pmap").to_dict() | {"replicas": {"seeds": (0, 1)}}
    config["training"]["steps"] = 4
    train(config, tmp_path / "run", verbose=False)
    one = config | {"parallel": LAYOUTS["one"] | {"replica": 1}}
    train(one, tmp_path / "one", verbose=False)
    states = [load(tmp_path / name).all_replicas.params for name in ("run", "one")]
    # Sums over parts of a batch, in another order.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *states)


@pytest.mark.parametrize(
    "more", [{"model": 2}, {"replica": 2}, {"rules": "fsdp"}], ids=lambda more: next(iter(more))
)
def test_pmap_takes_the_data_axis_alone(more, tmp_path):
    config = config_of("MLP", "one").to_dict()
    config["parallel"] = {"data": 2, "strategy": "pmap"} | more
    config["replicas"]["seeds"] = (0, 1)
    with pytest.raises(UserError, match=r"config.parallel.strategy: 'pmap' takes `data` alone"):
        train(config, tmp_path / "run", verbose=False)


def shards(state):
    """Path -> (shape, shape of what a device holds), without the axis of replicas."""
    return {
        path_of(path): (leaf.shape[1:], leaf.addressable_shards[0].data.shape[1:])
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


@pytest.mark.parametrize("model", MODELS)
def test_fsdp_keeps_an_eighth_of_all_large_arrays_on_a_device(model):
    found = shards(trained(model, "fsdp")[1])
    large = {
        path: pair
        for path, pair in found.items()
        if math.prod(pair[0]) >= SMALL and any(size % 8 == 0 for size in pair[0])
    }
    assert len(large) >= 3  # weights, and Adam's two moments of them
    for path, (shape, shard) in found.items():
        times = 8 if path in large else 1
        assert math.prod(shape) == times * math.prod(shard), path


@pytest.mark.parametrize("model", ["MLP", "CNN", "Transformer", "GPT"])
def test_tensor_parallelism_divides_the_first_of_two_layers_by_outputs(model):
    found = shards(trained(model, "tensor")[1])
    expected = {
        "MLP": {"dense_0/kernel": (64, 16), "dense_0/bias": (16,), "dense_1/kernel": (16, 64)},
        "CNN": {"conv_0/kernel": (3, 3, 1, 4), "conv_1/kernel": (3, 3, 4, 32)},
        "Transformer": {
            "encoder/block_0/attention/value/kernel": (32, 8),
            "encoder/block_0/attention/out/kernel": (8, 32),
            "encoder/block_0/mlp/hidden/bias": (32,),
            "head/kernel": (32, 10),
        },
        "GPT": {
            "embedding/embedding": (16, 64),
            "positions/embedding": (64, 64),
            "decoder/block_0/mlp/hidden/kernel": (64, 64),
            "decoder/block_0/mlp/out/kernel": (64, 64),
        },
    }[model]
    for path, shard in expected.items():
        for place in ("params", "optimizer_state/.*mu", "optimizer_state/.*nu"):
            matching = [p for p in found if re.fullmatch(f"{place}/{path}", p)]
            assert [found[p][1] for p in matching] == [shard], (place, path)


@pytest.mark.parametrize(
    ("before", "after"), [("fsdp", "one"), ("one", "tensor"), ("tensor", "fsdp")]
)
def test_a_checkpoint_is_restored_onto_another_layout(before, after, tmp_path):
    config = config_of("MLP", before).to_dict()
    config["training"]["steps"] = 3
    train(config, tmp_path / "run", verbose=False)
    saved = jax.tree.map(np.asarray, load(tmp_path / "run").all_replicas)
    file = tmp_path / "run/config.json"
    changed = json.loads(file.read_text())
    changed["parallel"] = LAYOUTS[after]
    file.write_text(json.dumps(changed))
    restored = load(tmp_path / "run").all_replicas
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, restored), saved)
    divided = [path for path, (shape, shard) in shards(restored).items() if shape != shard]
    assert bool(divided) == (after != "one")


def test_rematerialisation_lowers_the_memory_of_a_step():
    from aimodels.training.estimate import _ShapesFeed

    def temporaries(model, fields, remat):
        config = config_of(model, "one").to_dict()
        config["model"] |= fields
        config["parallel"]["remat"] = remat
        config["training"]["batch_size"] = 64
        assembly = Assembly(resolve(config))
        feed = _ShapesFeed(assembly.abstract[1], 1)
        compiled = assembly.program().compile(feed, assembly.target())
        return compiled.memory_analysis().temp_size_in_bytes

    for model, fields, share in (
        ("GPT", {"num_layers": 6}, 0.6),
        ("GRU", {"features": 64, "num_layers": 2}, 0.8),
    ):
        kept = temporaries(model, fields, "none")
        assert temporaries(model, fields, "blocks") < share * kept


def test_a_model_without_blocks_cannot_be_rematerialised(tmp_path):
    config = config_of("MLP", "fsdp, rematerialised")
    with pytest.raises(UserError, match=r"config.parallel.remat.*take 'none'"):
        train(config, tmp_path / "run", verbose=False)
    assert not (tmp_path / "run/checkpoints").exists()


MESH = {"data": 2, "model": 4}


def test_ready_made_lists_leave_whole_what_they_cannot_divide():
    for path, shape in (
        ("params/embedding/embedding", (65, 32)),  # V is not divisible
        ("params/head/kernel", (32, 10)),
        ("params/decoder/norm/scale", (32,)),
        ("optimizer_state/0/count", ()),
    ):
        assert axes_of("tensor", path, shape, MESH) == (None,) * len(shape)
    assert axes_of("fsdp", "params/a/kernel", (63, 65), MESH) == (None, None)
    assert axes_of("fsdp", "params/a/kernel", (2, SMALL // 4), MESH) == (None, None)
    assert axes_of("fsdp", "params/a/kernel", (63, SMALL), MESH) == (None, "data")
    both = axes_of("fsdp_tensor", "params/mlp/hidden/kernel", (64, 256), MESH)
    assert both == ("data", "model")


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ((("kernel", (None, "modle")),), ["'kernel'", "'modle'", "'data', 'model'"]),
        ((("kernel", ("data", None)),), ["(63, 8)", "63 is not divisible by 2"]),
    ],
)
def test_mistakes_in_rules(rules, says):
    with pytest.raises(UserError) as caught:
        axes_of(rules, "params/head/kernel", (63, 8), MESH)
    for text in says:
        assert text in str(caught.value)


@pytest.mark.parametrize("rules", ["fdsp", (("kernel", "model"),)])
def test_rules_are_a_known_name_or_pairs(rules):
    config = config_of("MLP", "one").to_dict() | {"parallel": {"rules": rules}}
    with pytest.raises(UserError, match=r"config.parallel.rules: got .* takes one of 'fsdp'"):
        resolve(config)
    if isinstance(rules, str):
        with pytest.raises(UserError, match="Did you mean 'fsdp'"):
            resolve(config_of("MLP", "one"), {"parallel.rules": rules})


ON_ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from aimodels.training.assembly import prepare_jax
from aimodels.training.parallel import compiler_options
prepare_jax()
print(os.environ["NPROC"], compiler_options())
"""


@pytest.mark.parametrize(("told", "threads", "reduces"), [(None, "2", True), ("1", "1", False)])
def test_nothing_is_reduced_by_ynnpack_on_one_thread(told, threads, reduces):
    # It waits for ever there (jax 0.10.2); so one core has two threads.
    environment = {name: value for name, value in os.environ.items() if name != "NPROC"}
    environment |= {"XLA_FLAGS": "", **({"NPROC": told} if told else {})}
    command = [sys.executable, "-c", ON_ONE_CORE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    used, _, options = done.stdout.partition(" ")
    assert used == threads
    assert ("TYPE_REDUCE" in options) == reduces
    assert "TYPE_INDIVIDUAL_DOT" in options
