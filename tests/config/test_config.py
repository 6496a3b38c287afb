"""Every mistake in a config ends in one message: which field, what it got, what it takes."""

import json

import pytest
from ml_collections import ConfigDict

from aimodels.config import differences, load_config, load_experiment, plain, resolve, to_json
from aimodels.errors import UserError


def small(**changes):
    config = {
        "model": {"name": "MLP", "features": (8,), "num_classes": 3},
        "task": {"name": "classification"},
        "data": {"name": "iris"},
        "optimizer": {"name": "adam", "learning_rate": 1e-2},
        "training": {"steps": 10, "batch_size": 8},
    }
    return config | changes


def test_defaults_are_filled_in_and_the_config_is_locked():
    config = resolve(ConfigDict(small()))
    assert config.training.order == "shuffled"
    assert config.optimizer.schedule.name == "constant"
    assert config.replicas.seeds == (0,)
    with pytest.raises((KeyError, AttributeError)):
        config.training.stepz = 3


def test_resolving_twice_changes_nothing_and_json_keeps_it():
    config = resolve(small(replicas={"seeds": (0, 1), "vary": {"optimizer.learning_rate": (1, 2)}}))
    assert differences(config, resolve(config)) == []
    assert differences(config, resolve(json.loads(to_json(config)))) == []


def test_the_command_line_is_read_by_the_fields_type():
    overrides = {
        "training.steps": "7",
        "model.features": "4,5",
        "optimizer.learning_rate": "1e-3",
        "checkpoint.best": "test/accuracy",
        "replicas.seeds": "(3,)",
        "task.label_smoothing": "0.1",
        "evaluation.splits": "test,train[:10%]",
        "parallel.rules": "((('kernel'), (None, 'model')),)",
    }
    config = resolve(small(), overrides)
    assert config.training.steps == 7
    assert config.model.features == (4, 5)
    assert config.optimizer.learning_rate == 1e-3
    assert config.checkpoint.best == "test/accuracy"
    assert config.replicas.seeds == (3,)
    assert config.evaluation.splits == ("test", "train[:10%]")
    assert config.parallel.rules == (("kernel", (None, "model")),)
    assert resolve(small(), {"checkpoint.best": "none"}).checkpoint.best is None


def test_a_name_alone_is_a_section():
    config = resolve(small(task="classification"), {"optimizer.schedule": "cosine", "data": "wine"})
    assert config.optimizer.schedule.name == "cosine"
    assert config.optimizer.schedule.warmup_steps == 0
    assert config.data.name == "wine"


@pytest.mark.parametrize(
    ("change", "overrides", "says"),
    [
        ({"trainning": {}}, {}, ["config.trainning", "'training'"]),
        ({}, {"training.stepz": "5"}, ["config.training.stepz", "'steps'"]),
        ({}, {"training.steps": "many"}, ["config.training.steps", "'many'", "whole number"]),
        ({}, {"training.steps": "0"}, ["config.training.steps", "0", ">= 1"]),
        ({}, {"training.steps": "-5"}, ["config.training.steps", "-5", ">= 1"]),
        ({}, {"training.steps": "1.5"}, ["config.training.steps", "1.5"]),
        ({}, {"training.order": "shufled"}, ["config.training.order", "'shuffled'", "'cyclic'"]),
        ({}, {"model.featurs": "3"}, ["config.model.featurs", "'features'"]),
        ({}, {"model.features": "a,b"}, ["config.model.features"]),
        ({}, {"model.name": "MPL"}, ["'MPL'", "'MLP'"]),
        ({}, {"task.name": "clasification"}, ["'clasification'", "'classification'"]),
        ({}, {"data.name": "mnist1"}, ["'mnist1'", "'mnist1d'"]),
        ({}, {"optimizer.name": "adm"}, ["'adm'", "'adam'"]),
        ({}, {"optimizer.learning_rate": "fast"}, ["config.optimizer.learning_rate", "'fast'"]),
        ({}, {"optimizer.schedule.name": "cosin"}, ["'cosin'", "'cosine'"]),
        ({}, {"precision": "float16"}, ["config.precision", "'float16'", "'bfloat16'"]),
        ({}, {"replicas.seeds": ""}, ["config.replicas.seeds"]),
        ({"training": {"steps": 3}}, {}, ["config.training.batch_size is missing"]),
        ({"training": {"batch_size": 3}}, {}, ["config.training.steps is missing"]),
        ({"task": None}, {}, ["config.task is missing"]),
        ({"model": {"features": (3,)}}, {}, ["config.model.name is missing", "MLP"]),
        ({"training": 5}, {}, ["config.training", "5", "section"]),
        ({}, {"training.steps.more": "1"}, ["config.training.steps.more"]),
        ({"parallel": {"data": 3}}, {}, ["batch_size", "8", "not divisible", "3"]),
        ({"replicas": {"vary": {"optimizer.learning_rate": (1.0, 2.0)}}}, {}, ["2 values", "1"]),
        ({"replicas": {"vary": {"model.features": ((3,),)}}}, {}, ["model.features", "can't vary"]),
        ({"replicas": {"vary": {"optimizer.lr": (1.0,)}}}, {}, ["no field", "optimizer.lr"]),
        ({"model": {"name": "no.such.module:Net"}}, {}, ["no.such.module:Net"]),
        ({"model": {"name": "aimodels.models:Nett"}}, {}, ["aimodels.models", "Nett"]),
        (
            {"training": {"steps": 1, "batch_size": 8, "transforms": ("scal",)}},
            {},
            ["'scal'", "'scale'"],
        ),
    ],
)
def test_mistakes(change, overrides, says):
    with pytest.raises(UserError) as caught:
        resolve(small(**change), overrides)
    for text in says:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_of_the_users_own_is_checked_like_ours(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import flax.linen as nn\n"
        "class Net(nn.Module):\n"
        "    width: int = 4\n"
        "    @nn.compact\n"
        "    def __call__(self, inputs, train=False):\n"
        "        return nn.Dense(3)(nn.relu(nn.Dense(self.width)(inputs)))\n"
    )
    config = resolve(small(model={"name": f"{file}:Net"}))
    assert config.model.width == 4
    with pytest.raises(UserError, match=r"config.model.widht.*'width'"):
        resolve(small(model={"name": f"{file}:Net", "widht": 3}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def get_config(): return 1 / 0", "ZeroDivisionError"),
        ("def get_config(:", "SyntaxError"),
        ("import no_such_module", "no_such_module"),
        ("x = 1", "get_config"),
        ("def get_config(): return 3", "returned int"),
    ],
)
def test_a_config_file_that_raises_is_named(tmp_path, text, says):
    file = tmp_path / "broken.py"
    file.write_text(text + "\n")
    with pytest.raises(UserError) as caught:
        load_config(str(file))
    assert says in str(caught.value)
    assert "broken.py" in str(caught.value)


def test_a_missing_config_file(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_config(str(tmp_path / "absent.py"))
    with pytest.raises(UserError, match="can't be read"):
        load_config(str(tmp_path / "absent.json"))


def test_an_unknown_variant_lists_the_near_ones():
    with pytest.raises(UserError, match="'cnn'"):
        load_experiment("experiments/vision/mnist1d.py").config("cn")


def test_plain_is_a_deep_copy():
    given = {"a": {"b": [1, {"c": 2}]}}
    copied = plain(given)
    copied["a"]["b"][1]["c"] = 3
    assert given["a"]["b"][1]["c"] == 2
    assert copied["a"]["b"] == (1, {"c": 3})
