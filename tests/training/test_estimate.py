"""What is read off a compiled program, and `aimodels show --devices`."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from aimodels.cli import main
from aimodels.config import load_config
from aimodels.errors import UserError
from aimodels.training import hlo
from aimodels.training.assembly import Assembly, count
from aimodels.training.estimate import estimate, for_devices

ROOT = Path(__file__).parent.parent.parent
GPT_SIZES = ROOT / "experiments/language/gpt_sizes.py"
MLP = f"{ROOT}/experiments/vision/mnist1d.py:mlp"


def text_of(function, *shapes, **options):
    arguments = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    return jax.jit(function, **options).lower(*arguments).compile().as_text()


def test_products_are_counted_as_often_as_a_loop_turns():
    text = text_of(lambda a, b: a @ b, (32, 48), (48, 16))
    assert hlo.operations(text) == 2 * 32 * 48 * 16

    def seven_times(a, b):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ b), None), a, length=7)[0]

    assert hlo.operations(text_of(seven_times, (32, 48), (48, 48))) == 7 * 2 * 32 * 48 * 48


def test_convolutions_are_counted():
    def convolve(inputs, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            inputs, kernel, (1, 1), "VALID", dimension_numbers=numbers
        )

    text = text_of(convolve, (2, 16, 16, 32), (3, 5, 32, 64))
    assert hlo.operations(text) == 2 * (2 * 14 * 12 * 64) * (3 * 5 * 32)


def test_collectives_are_counted_with_their_bytes():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    divided, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    text = text_of(lambda x: x.sum(0), (64, 10), in_shardings=divided, out_shardings=whole)
    assert hlo.collectives(text) == {"all-reduce": (1, 40)}
    text = text_of(lambda x: x + 1, (64, 10), in_shardings=divided, out_shardings=whole)
    assert hlo.collectives(text) == {"all-gather": (1, 2560)}

    def five_times(x):
        def turn(total, _):
            return total + jnp.tanh(x * total.sum()).sum(0), None

        return jax.lax.scan(turn, jnp.zeros(10), length=5)[0]

    text = text_of(five_times, (64, 10), in_shardings=divided, out_shardings=whole)
    assert hlo.collectives(text)["all-reduce"] == (5, 200)


def test_an_estimate_is_of_devices_that_are_not_there():
    config = load_config(MLP, {"training.batch_size": "96"})
    one, data = estimate(config, 1), estimate(config, 16)
    assert data.mesh == {"replica": 1, "data": 16, "model": 1}
    weights = 4 * count(Assembly(config).abstract[0].params)
    assert one.collectives == {}
    number, size = data.collectives["all-reduce"]
    assert number >= 1
    assert weights <= size < 1.05 * weights  # the gradients, the loss and the accuracy
    assert one.operations == pytest.approx(16 * data.operations, rel=1e-6)
    assert one.donated >= 3 * weights  # the weights and Adam's two moments are overwritten
    assert data.memory > 3 * weights
    fsdp = estimate(load_config(MLP, {"training.batch_size": "96", "parallel.rules": "fsdp"}), 4)
    assert fsdp.arguments < data.arguments
    assert fsdp.collectives["all-gather"][0] >= 1


def test_the_mesh_takes_what_the_axis_model_leaves():
    overrides = {"training.batch_size": "96", "parallel.model": "4"}
    config = for_devices(load_config(MLP, overrides), 64)
    assert (config.parallel.data, config.parallel.model) == (16, 4)
    with pytest.raises(UserError, match=r"--devices=6 is not divisible by config.parallel.model=4"):
        for_devices(load_config(MLP, overrides), 6)
    with pytest.raises(UserError, match=r"config.training.batch_size: 96 is not divisible"):
        for_devices(load_config(MLP, overrides), 20)


def test_show_prints_it_without_the_devices(capsys):
    arguments = [f"--config={MLP}", "--devices=20", "--config.parallel.rules=tensor"]
    assert main(["show", *arguments, "--config.parallel.model=10"]) == 0
    out = capsys.readouterr().out
    assert "data=2 x model=10" in out
    for text in ("15,210", "temporaries", "GFLOP", "all-reduce x"):
        assert text in out
    mistake = "--config.parallel.rules=(('head/kernel', (None, 'model')),)"
    assert main(["show", *arguments[:2], mistake, "--config.parallel.model=4"]) == 2
    assert "10 is not divisible by 4" in capsys.readouterr().err


def test_gpt_sizes_have_the_parameters_of_the_papers_table():
    spec = importlib.util.spec_from_file_location("gpt_sizes", GPT_SIZES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for variant, size in module.SIZES.items():
        config = load_config(f"{GPT_SIZES}:{variant}")
        found = count(Assembly(config).abstract[0].params)
        assert found == pytest.approx(size.parameters, rel=0.015)  # the table has two digits
        assert config.training.batch_size * config.data.length == pytest.approx(
            {"small": 0.5e6, "xl": 1e6, "6_7b": 2e6}[variant], rel=0.05
        )
