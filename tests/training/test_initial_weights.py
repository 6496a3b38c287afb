"""Fine-tuning: what a run begins with, what is new, what stands still, and that it is resumed."""

import json
import shutil
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest
import scipy.ndimage

import aimodels
from aimodels.config import differences, load_config, plain, resolve
from aimodels.errors import UserError
from aimodels.models import ResNet
from aimodels.models.resnet import ResNetBackbone
from aimodels.models.state_dicts import to_state_dict
from aimodels.training.assembly import Assembly
from aimodels.training.initial_weights import flat as paths_of
from aimodels.training.initial_weights import resized_positions, taken
from aimodels.training.load import load, read_variables
from aimodels.training.writers import read_metrics
from aimodels.weights import write_safetensors

CNN = {"name": "CNN", "features": (4, 4), "batch_norm": True, "readout": "mean", "num_classes": 10}
VIT = {
    "name": "VisionTransformer",
    "num_classes": 10,
    "width": 8,
    "num_layers": 1,
    "num_heads": 2,
    "patch_size": 4,
}
TRUNK = "^(?!head/)"


def config(model, **sections):
    given = {
        "model": model,
        "task": "classification",
        "data": "digits",
        "optimizer": {"name": "adam", "learning_rate": 1e-2},
        "training": {"steps": 4, "batch_size": 16, "transforms": ("scale",), "log_every": 1},
        "evaluation": {"splits": ()},
        "execution": {"steps_per_dispatch": 2},
        "replicas": {"mode": "sequential"},
    }
    both = {key: given.get(key, {}) | value for key, value in sections.items()}
    return resolve(given | both)


def train(workdir, model, **sections):
    aimodels.train(config(model, **sections), workdir, verbose=False)
    return workdir


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs to begin with: a CNN with batch norms, a ViT."""
    folder = tmp_path_factory.mktemp("begin")
    train(folder / "cnn", CNN)
    train(folder / "vit", VIT)
    return folder


def begun(workdir, model, **sections):
    """The state of a run before its first step: with a learning rate of 0 nothing moves."""
    sections["optimizer"] = {"name": "sgd", "learning_rate": 0.0}
    sections["training"] = sections.get("training", {}) | {"steps": 1}
    return load(train(workdir, model, **sections))


def flat(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="/"): np.asarray(x) for p, x in leaves}


def test_the_trunk_is_taken_and_the_head_is_new(runs, tmp_path):
    model = VIT | {"num_classes": 12}
    section = {"path": str(runs / "vit"), "new": ("^head/",)}
    seeds = {"seeds": (0, 1)}
    found = begun(tmp_path / "run", model, init_from=section, replicas=seeds).all_replicas.params
    fresh = begun(tmp_path / "fresh", model, replicas=seeds).all_replicas.params
    source = flat(load(runs / "vit").params)
    fresh = flat(fresh)
    for name, array in flat(found).items():
        if name.startswith("head/"):
            assert array.shape[-1] == 12
            np.testing.assert_array_equal(array, fresh[name])
        else:
            for replica in array:
                np.testing.assert_array_equal(replica, source[name])


def test_the_moving_average_begins_there_and_is_what_is_taken(runs, tmp_path):
    section = {"path": str(runs / "vit")}
    decay = {"ema_decay": 0.5}
    loaded = begun(tmp_path / "run", VIT, init_from=section, training=decay)
    jax.tree.map(np.testing.assert_array_equal, loaded.state.ema, load(runs / "vit").params)
    trained = train(tmp_path / "average", VIT, init_from=section, training=decay)
    state = load(trained).state
    jax.tree.map(np.testing.assert_array_equal, read_variables(trained)["params"], state.ema)
    assert np.abs(state.ema["head"]["bias"] - state.params["head"]["bias"]).max() > 0


def test_running_statistics_are_taken_too(runs, tmp_path):
    section = {"path": str(runs / "cnn")}
    taken = read_variables(runs / "cnn")["batch_stats"]
    fresh = begun(tmp_path / "fresh", CNN).state.collections["batch_stats"]
    found = begun(tmp_path / "run", CNN, init_from=section).state.collections["batch_stats"]
    # After one step, 0.9 of what was there and 0.1 of the batch's own.
    for own, new, old in zip(*map(jax.tree.leaves, (found, fresh, taken)), strict=True):
        assert np.abs(own - old).max() < np.abs(new - old).max()


def test_what_is_frozen_stands_still_and_its_gradients_are_not_counted(runs, tmp_path):
    section = {"path": str(runs / "cnn"), "new": ("^head/",)}
    optimizer = {"name": "adam", "learning_rate": 1e-2, "frozen": (TRUNK,)}
    whole = train(tmp_path / "whole", CNN, init_from=section)
    held = train(tmp_path / "held", CNN, init_from=section, optimizer=optimizer)
    before, after = read_variables(runs / "cnn"), read_variables(held)
    for name, array in flat(after).items():
        moved = np.abs(array - flat(before)[name]).max() > 0
        assert moved == name.startswith("params/head/"), name
    norms = [read_metrics(path / "metrics.jsonl")[0]["gradient_norm"] for path in (whole, held)]
    assert 0 < norms[1] < norms[0]


def test_a_frozen_trunk_is_that_of_evaluation(runs, tmp_path):
    """The features that the head is trained on are those that evaluation computes."""
    from aimodels.modules.blocks import freezing

    loaded = load(runs / "cnn")
    images = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)
    model, variables = loaded.task.model, loaded.state.variables
    with freezing((TRUNK,)):
        trained, changed = model.apply(variables, images, train=True, mutable=["batch_stats"])
    np.testing.assert_array_equal(trained, model.apply(variables, images))
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"], variables["batch_stats"])
    trained, _ = model.apply(variables, images, train=True, mutable=["batch_stats"])
    assert np.abs(trained - model.apply(variables, images)).max() > 1e-3


def test_a_resumed_run_does_not_read_them_again(runs, tmp_path):
    """Ended where it was stopped and gone on without its source: the same bits."""
    shutil.copytree(runs / "vit", tmp_path / "source")
    sections = {
        "init_from": {"path": str(tmp_path / "source"), "new": ("^head/",)},
        "checkpoint": {"every": 2, "keep": 2},
    }
    whole = train(tmp_path / "whole", VIT, **sections)
    shutil.copytree(whole, tmp_path / "resumed")
    for path in ("results.json", "metrics.jsonl"):
        (tmp_path / "resumed" / path).unlink()
    shutil.rmtree(tmp_path / "resumed/checkpoints/4")
    shutil.rmtree(tmp_path / "source")
    resumed = train(tmp_path / "resumed", VIT, **sections)
    states = [load(path).state for path in (whole, resumed)]
    jax.tree.map(np.testing.assert_array_equal, *states)
    with pytest.raises(UserError, match="can't be read"):
        train(tmp_path / "anew", VIT, **sections)


@pytest.mark.parametrize(
    "parallel",
    [
        {"data": 2, "rules": "fsdp"},
        {"data": 2, "replica": 2, "rules": ((".*/kernel", (None, "data")),)},
        {"data": 2, "strategy": "pmap"},
    ],
)
def test_devices_change_nothing(runs, tmp_path, parallel):
    # Not Adam, which makes a whole step of a gradient that is rounding alone (that of key's bias).
    sections = {
        "init_from": {"path": str(runs / "vit"), "new": ("^head/",)},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "replicas": {"seeds": (0, 1)},
    }
    alone = train(tmp_path / "alone", VIT, **sections)
    many = train(tmp_path / "many", VIT, parallel=parallel, **sections)
    states = [load(path).all_replicas.params for path in (alone, many)]
    # Sums over a batch in another order, in float32.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *states)


# --- positions ------------------------------------------------------------------------------------

POSITIONS = ("params", "positions", "embedding")


@pytest.mark.parametrize(("old", "new"), [(2, 4), (4, 2), (3, 7), (14, 24), (5, 5), (1, 3)])
@pytest.mark.parametrize("tokens", [0, 1])
def test_positions_are_resized_as_in_the_papers_code(old, new, tokens):
    """`scipy.ndimage.zoom(grid, order=1)`, as big_vision has it; a class token's stays."""
    rows = np.random.default_rng(0).standard_normal((old**2 + tokens, 6)).astype(np.float32)
    found = resized_positions(POSITIONS, rows, (new**2 + tokens, 6))
    assert found is not None
    np.testing.assert_array_equal(found[:tokens], rows[:tokens])
    grid = rows[tokens:].reshape(old, old, 6)
    expected = scipy.ndimage.zoom(grid, (new / old, new / old, 1), order=1)
    # float64 sums of four products, kept in float32.
    np.testing.assert_allclose(found[tokens:].reshape(new, new, 6), expected, atol=1e-6)


def test_other_shapes_are_not_resized():
    rows = np.zeros((17, 6), np.float32)
    assert resized_positions(POSITIONS, rows, (17, 8)) is None  # another width
    assert resized_positions(POSITIONS, rows, (16, 6)) is None  # without the class token
    assert resized_positions(POSITIONS, rows, (15, 6)) is None  # not square
    assert resized_positions(("params", "head", "kernel"), rows, (5, 6)) is None


def test_a_vit_takes_larger_images(runs, tmp_path):
    section = {"path": str(runs / "vit"), "new": ("^head/",)}
    transforms = {"transforms": ("scale", {"name": "pad_to", "size": (16, 16)})}
    found = begun(tmp_path / "run", VIT, init_from=section, training=transforms)
    rows = np.asarray(found.params["positions"]["embedding"])
    assert rows.shape == (17, 8)
    source = np.asarray(load(runs / "vit").params["positions"]["embedding"])
    corners = rows[1:].reshape(4, 4, 8)[::3, ::3].reshape(4, 8)
    np.testing.assert_allclose(np.concatenate([rows[:1], corners]), source, atol=1e-7)


# --- files and mistakes ---------------------------------------------------------------------------


def test_a_file_in_others_names(runs, tmp_path):
    file = tmp_path / "vit.safetensors"
    aimodels.export(runs / "vit", file, naming="huggingface")
    section = {"path": str(file), "naming": "huggingface", "new": ("^head/",)}
    found = begun(tmp_path / "run", VIT, init_from=section).params
    np.testing.assert_array_equal(
        found["embedding"]["kernel"], load(runs / "vit").params["embedding"]["kernel"]
    )


def test_a_trunk_finds_its_place_in_a_larger_model(runs, tmp_path):
    section = {
        "path": str(runs / "vit"),
        "rename": (("encoder/block_0/", "encoder/block_1/"),),
        "ignore": ("/head/",),
        "new": ("^head/", "block_0/"),
    }
    found = begun(tmp_path / "run", VIT | {"num_layers": 2}, init_from=section).params["encoder"]
    source = load(runs / "vit").params["encoder"]["block_0"]
    jax.tree.map(np.testing.assert_array_equal, found["block_1"], source)


class Averages(nn.Module):
    """A model of a user: the trunk of a ResNet-18, and averages of what it sees."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, inputs, *, lengths=None, train=False):
        """[B, H, W, C] -> [B, num_classes]."""
        maps = ResNetBackbone(18, name="backbone")(inputs.astype(float), train=train)
        return nn.Dense(self.num_classes, name="classes")(maps["c5"].mean((1, 2)))


def test_a_trunk_comes_out_of_a_classifier_with_the_names_of_others(tmp_path):
    classifier = ResNet(18, 1000)
    variables = classifier.init(jax.random.key(3), np.zeros((1, 32, 32, 3), np.float32))
    theirs = to_state_dict("torchvision", classifier, variables)
    write_safetensors(tmp_path / "resnet18.safetensors", theirs)
    section = {
        "path": str(tmp_path / "resnet18.safetensors"),
        "naming": "torchvision",
        "model": "resnet18",
        "new": ("^classes/",),
        "ignore": ("^params/head/",),
    }
    model = {"name": f"{__name__}:Averages"}
    given = config(model, init_from=section)
    given = resolve(plain(given) | {"data": {"name": "random_images"}})
    found = taken(Assembly(given))
    expected = flat({name: {"backbone": tree["backbone"]} for name, tree in variables.items()})
    assert sorted(found) == sorted(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_detector_with_frozen_norms_begins_with_a_classifiers(tmp_path):
    """The recipe of Faster R-CNN on COCO, whose norms have no parameters."""
    classifier = ResNet(50, 1000)
    image = np.zeros((1, 32, 32, 3), np.float32)
    shapes = jax.eval_shape(classifier.init, jax.random.key(0), image)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), shapes)
    theirs = to_state_dict("torchvision", classifier, variables)
    write_safetensors(tmp_path / "resnet50.safetensors", theirs)
    file = Path(__file__).parents[2] / "experiments/vision/coco_detection.py"
    recipe = load_config(
        f"{file}:faster_rcnn", {"init_from.path": str(tmp_path / "resnet50.safetensors")}
    )
    found = taken(Assembly(recipe))
    trunk = {name: a for name, a in paths_of(variables).items() if "/backbone/" in name}
    assert len(found) == len(trunk)
    for name, array in trunk.items():
        in_norm = name.endswith(("norm/scale", "norm/bias"))
        name = name.replace("params/", "batch_stats/") if in_norm else name
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({}, "params/head/bias: (10,), where the model has (12,)"),
        ({}, "init_from.new, e.g. ('^head/',)"),
        ({"new": ("^heda/",)}, "the pattern '^heda/' matches no parameter"),
        ({"new": ("(",)}, "'(' is no regular expression"),
        ({"rename": (("^params/encoder", "params/decoder"),)}, "unknown: params/decoder/norm/bias"),
        ({"rename": (("^params/encoder", "params/decoder"),)}, "missing: params/encoder/norm/bias"),
        (
            {"rename": (("^params/", r"\1"),)},
            "is no replacement for '^params/': invalid group",
        ),
        ({"rename": (("(kernel|bias)$", "one"),)}, "makes one name, params/"),
        ({"path": "nowhere.pth"}, "nowhere.pth can't be read"),
        ({"path": "efficientnet_lite0"}, "aimodels data fetch efficientnet_lite0"),
        ({"step": "9"}, "step '9'"),
        ({"replica": 1}, "replica 1 does not exist"),
        ({"model": "resnet18"}, "config.init_from.model is 'resnet18', but the names in"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_trained(
    runs, tmp_path, monkeypatch, section, says
):
    monkeypatch.setenv("AIMODELS_DATA", str(tmp_path / "data"))  # other tests fetch weights
    given = {"path": str(runs / "vit")} | section
    with pytest.raises(UserError) as error:
        train(tmp_path / "run", VIT | {"num_classes": 12}, init_from=given)
    assert says in str(error.value)
    assert not (tmp_path / "run/checkpoints").exists()


def test_mistakes_in_the_section():
    for section, says in (
        ({"path": "x", "nwe": ("head",)}, "'new'"),
        ({"path": "x", "naming": "timm"}, "'torchvision'"),
        ({}, "config.init_from.path is missing"),
    ):
        with pytest.raises(UserError, match=says):
            config(VIT, init_from=section)
    assert "init_from" not in config(VIT)
    assert "init_from" not in plain(resolve(json.loads(json.dumps(plain(config(VIT))))))
    assert differences(config(VIT), config(VIT, init_from={"path": "x"}))


def test_a_task_without_a_model_takes_none(tmp_path):
    from aimodels.config import load_config

    agent = plain(load_config("experiments/rl/tabular.py:q_learning_cliff"))
    with pytest.raises(UserError, match=r"config\.init_from"):
        aimodels.train(agent | {"init_from": {"path": "x"}}, tmp_path / "run", verbose=False)
