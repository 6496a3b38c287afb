"""Darknet-53 and YOLOv3 against the same networks in packages of PyTorch's, on the same weights."""

import importlib.util

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from torch_layout import GOLDEN, load

from aimodels.models import Darknet53, YOLOv3, state_dicts
from aimodels.models.yolov3 import BLOCKS

spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
seeded_weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seeded_weights)

# These networks run once, so that optimising them would take longer than it saves.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def timm_names():
    """Darknet-53's layers, and timm's names of them."""
    yield "trunk/conv_0", "stem.conv1"
    for stage, count in enumerate(BLOCKS):
        yield f"trunk/down_{stage + 1}", f"stages.{stage}.conv_down"
        for block in range(count):
            ours, theirs = f"trunk/block_{stage + 1}_{block}", f"stages.{stage}.blocks.{block}"
            yield f"{ours}_narrow", f"{theirs}.conv1"
            yield f"{ours}_wide", f"{theirs}.conv2"
    yield "head", "head.fc"


def lightnet_names():
    """YOLOv3's layers, and lightnet's names of them, which number a trunk's layers."""
    yield "trunk/conv_0", "backbone.module.1_convbatch"
    number = 2
    for stage, count in enumerate(BLOCKS, start=1):
        yield f"trunk/down_{stage}", f"backbone.module.{number}_convbatch"
        for block in range(count):
            number += 1
            for index, part in enumerate(("narrow", "wide")):
                theirs = f"backbone.module.{number}_residual.{index}"
                yield f"trunk/block_{stage}_{block}_{part}", theirs
        number += 1
    for index, scale in enumerate((2, 1, 0)):  # the coarsest map first
        neck = f"neck.{index}.module" if scale else f"neck.{index}"
        for layer in range(5):
            yield f"conv_{scale}_{layer}", f"{neck}.{layer}"
        if scale:
            yield f"up_{scale - 1}", f"{neck}.5"
        yield f"conv_{scale}_5", f"head.{index}.0"
        yield f"head_{scale}", f"head.{index}.1"


# The case -> the model, names of its layers, those of a layer's convolution and norm; what is kept.
CASES = {
    "darknet53": (Darknet53(10), timm_names, ("conv", "bn"), slice(None)),
    "yolov3": (
        YOLOv3(3),
        lightnet_names,
        ("layers.0", "layers.1"),
        (slice(None), slice(0, None, 5)),
    ),
}


def seeded_variables(shapes, names, parts):
    """Weights made from the others' names, and those names by our paths."""
    theirs, variables, found = dict(names), {}, {}
    for path, leaf in flatten_dict(dict(shapes)).items():
        module, layer = "/".join(path[1:-2]), path[-2]
        if module in theirs:
            prefix = f"{theirs[module]}.{parts[layer == 'norm']}"
        else:  # a layer without a norm
            prefix = theirs["/".join(path[1:-1])]
        turned = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[leaf.ndim]
        shape = tuple(leaf.shape[axis] for axis in turned)
        place = state_dicts.Place(f"{prefix}.{state_dicts.LEAVES[path[-1]]}", (path,), shape)
        variables[path] = place.to_ours(seeded_weights.seeded(place.name, shape))[0]
        found[path] = place.name
    return unflatten_dict(variables), found


def assert_close(found, expected):
    """To 1e-4 of the largest value.

    PyTorch computed in float64; float32 loses 6e-8 at each of up to seventy-five layers, and a norm
    over a batch of two small pictures enlarges what came before it.
    """
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES)
def test_equals_pytorch_in_evaluation_and_in_training(case):
    model, names, parts, kept = CASES[case]
    golden = load("darknet", case)
    inputs = seeded_weights.images(2, 32, 160, 3)
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
    shapes.pop("intermediates", None)
    variables, found = seeded_variables(shapes, names(), parts)

    def run(variables, inputs):
        trained, changed = model.apply(variables, inputs, train=True, mutable=["batch_stats"])
        return model.apply(variables, inputs), trained, changed

    evaluated, trained, changed = jax.jit(run, compiler_options=QUICKLY)(variables, inputs)
    assert_close(evaluated[kept], golden["evaluated"])
    assert_close(trained[kept], golden["trained"])
    running = {found[path]: array for path, array in flatten_dict(changed).items()}
    sampled = np.concatenate([running[name][::8] for name in sorted(running)])
    assert_close(sampled, golden["statistics"])
