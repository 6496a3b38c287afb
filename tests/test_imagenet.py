"""The ImageNet configs: a step on eight devices of smaller nets, and what is said without data."""

import jax
import numpy as np
import pytest

from aimodels.cli import main
from aimodels.config import load_experiment, plain, resolve
from aimodels.training.assembly import Assembly
from aimodels.training.step import Plan

FILE = "experiments/vision/imagenet.py"


@pytest.fixture(scope="module")
def experiment():
    from pathlib import Path

    return load_experiment(Path(__file__).parents[1] / FILE)


def on_noise(experiment, variant, size, **parallel):
    """A variant on random images of `size`, that much smaller than the paper's 256 and 224."""
    from run_checks import shrunk

    full = experiment.config(variant)
    smaller = shrunk(experiment, full) if size < 224 else {}
    config = plain(experiment.config(variant, smaller))
    config["data"] = {"name": "random_images", "size": (size + 8,) * 2, "num_classes": 1000}
    config["evaluation"]["splits"] = ("test",)
    config["training"] |= {"batch_size": 16, "steps": 2}
    config["training"]["transforms"] = tuple(
        t | {"size": size} if "size" in t else t for t in config["training"]["transforms"]
    )
    config["parallel"] = parallel
    return resolve(config)


def losses_of(config):
    """The training loss of two steps."""
    assembly = Assembly(config)
    feed = assembly.feeds()()
    program = assembly.program(Plan(1, "sequential"))
    state, losses = program.init(feed, assembly.target()), []
    for step in range(2):
        state, report = program.run(state, feed, step, 1)
        losses.append(float(report.metrics["loss"][0]))
    return losses, state


@pytest.mark.parametrize(
    "variant",
    [
        "alexnet",
        pytest.param("vgg16", marks=pytest.mark.slow),
        pytest.param("resnet50", marks=pytest.mark.slow),
        "vit_b16",
    ],
)
def test_a_step_on_eight_devices(experiment, variant):
    layouts = {"data": {"data": 8}, "fsdp": {"data": 8, "rules": "fsdp"}}
    found = {}
    for name, layout in layouts.items():
        found[name], state = losses_of(on_noise(experiment, variant, 64, **layout))
        if name == "fsdp":
            divided = [
                leaf
                for leaf in jax.tree.leaves(state.params)
                if not leaf.sharding.is_fully_replicated
            ]
            assert divided
    assert np.isfinite(found["data"]).all()
    # The losses of a classifier that knows nothing, log 1000, and after a step.
    assert abs(found["data"][0] - np.log(1000)) < 2
    # The same sums of float32 in other orders, and a step of momentum on them.
    np.testing.assert_allclose(found["data"], found["fsdp"], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["resnet50", "vit_b16"])
def test_a_step_of_the_whole_net(experiment, variant):
    losses, _ = losses_of(on_noise(experiment, variant, 224, data=8, rules="fsdp"))
    assert np.isfinite(losses).all()


def test_without_the_data_it_says_what_to_do(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    code = main(["train", f"--config={FILE}:resnet50", f"--workdir={tmp_path / 'run'}"])
    error = capsys.readouterr().err
    assert code == 2
    assert "data set 'tfds:imagenet2012' is not prepared in" in error
    assert "aimodels data fetch tfds:imagenet2012" in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
