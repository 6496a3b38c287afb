"""A whole recipe for images in a run: the same whatever the feed, the replicas and the devices."""

import jax
import numpy as np
import pytest

import aimodels
from aimodels.training.load import load

RECIPE = (
    {"name": "random_resized_crop", "size": 8},
    "horizontal_flip",
    {"name": "rand_augment", "num_operations": 1},
    "scale",
    {"name": "random_erasing", "probability": 0.5},
    {"name": "mixup_or_cutmix", "num_classes": 10},
)
CONFIG = {
    "model": {"name": "MLP", "features": (8,), "num_classes": 10},
    "task": {"name": "classification", "label_smoothing": 0.1, "top_k": (1,)},
    "data": {"name": "random_images", "size": (9, 10), "train_size": 40, "test_size": 16},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "training": {
        "steps": 5,
        "batch_size": 16,
        "log_every": 1,
        "ema_decay": 0.9,
        "transforms": RECIPE,
    },
    "evaluation": {"batch_size": 16},
    "replicas": {"seeds": (3, 4), "mode": "vmap"},
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The end of a run with both replicas in one program, fed on the device."""
    return trained(tmp_path_factory.mktemp("reference"), execution={"feed": "device"})


def trained(folder, **sections):
    result = aimodels.train(CONFIG | sections, folder / "run", verbose=False)
    return load(folder / "run").all_replicas, result


def test_seeds_draw_their_own(reference):
    state, _ = reference
    for leaf in jax.tree.leaves(state.params):
        assert not np.array_equal(leaf[0], leaf[1])


@pytest.mark.parametrize(
    "sections",
    [
        {"execution": {"feed": "host"}},
        {"replicas": CONFIG["replicas"] | {"mode": "sequential"}},
        {"parallel": {"data": 8}},
    ],
    ids=["host feed", "sequential", "eight devices"],
)
def test_a_recipe_is_a_function_of_seed_and_step(reference, sections, tmp_path):
    state, result = trained(tmp_path, **sections)
    same_program = "execution" in sections
    for name in ("params", "ema"):
        jax.tree.map(
            # Other programs sum and fuse in other orders; another draw would be off by 1e-3.
            lambda a, b: np.testing.assert_allclose(
                a, b, rtol=0 if same_program else 1e-4, atol=0 if same_program else 1e-5
            ),
            getattr(state, name),
            getattr(reference[0], name),
        )
    assert result.metrics.keys() == reference[1].metrics.keys()
    assert result.metrics["test/top_1_error"] == pytest.approx(1 - result.metrics["test/accuracy"])
