"""Weights come in and go out: import, export, and back, through the commands."""

import importlib.util
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

import aimodels
from aimodels.cli import main
from aimodels.config import resolve, to_json
from aimodels.errors import UserError
from aimodels.models.state_dicts import from_state_dict, places, to_state_dict
from aimodels.training.exchange import export, import_weights
from aimodels.weights import read_weights, write_safetensors

sys.path.insert(0, str(Path(__file__).parents[1] / "modules"))
from torch_layout import GOLDEN, load

spec = importlib.util.spec_from_file_location("seeded_weights", GOLDEN / "seeded_weights.py")
seeded_weights = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seeded_weights)

VIT = {
    "name": "VisionTransformer",
    "num_classes": 10,
    "width": 8,
    "num_layers": 1,
    "num_heads": 2,
    "patch_size": 4,
}
CONFIG = {
    "model": VIT,
    "task": "classification",
    "data": "digits",
    "optimizer": "sgd",
    "training": {"steps": 2, "batch_size": 8, "transforms": ("scale",)},
    "execution": {"steps_per_dispatch": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A config file, and a trained run of it."""
    folder = tmp_path_factory.mktemp("exchange")
    (folder / "config.json").write_text(to_json(resolve(CONFIG)))
    aimodels.train(CONFIG, folder / "run", verbose=False)
    return folder


@pytest.mark.parametrize("naming", ["ours", "torchvision", "huggingface"])
def test_what_goes_out_comes_in_exactly(folder, tmp_path, naming, capsys):
    file, workdir = tmp_path / "weights.safetensors", tmp_path / "imported"
    code = main(["export", f"--workdir={folder / 'run'}", f"--naming={naming}", f"--output={file}"])
    assert code == 0, capsys.readouterr().err
    arguments = [f"--from={naming}", f"--config={folder / 'config.json'}", f"--workdir={workdir}"]
    assert main(["import", str(file), *arguments]) == 0, capsys.readouterr().err
    assert "parameters, step 0" in capsys.readouterr().out
    before, after = (aimodels.load(path) for path in (folder / "run", workdir))
    assert after.step == 0
    jax.tree.map(np.testing.assert_array_equal, before.params, after.params)
    images = np.arange(2 * 64, dtype=np.float32).reshape(2, 8, 8, 1)
    np.testing.assert_array_equal(before.predict(images), after.predict(images))
    # What it can be used for: evaluation, and another export of the same bytes.
    splits = [aimodels.evaluate(path, splits=("test",)) for path in (folder / "run", workdir)]
    assert splits[0]["replicas"] == splits[1]["replicas"]
    export(workdir, tmp_path / "again.safetensors", naming=naming)
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_our_names_load_in_two_lines(folder, tmp_path):
    """As the documentation has it, without aimodels' own reader."""
    export(folder / "run", tmp_path / "ours.safetensors")
    variables = unflatten_dict(read_weights(tmp_path / "ours.safetensors"), sep="/")
    images = np.ones((2, 8, 8, 1), np.float32)
    loaded = aimodels.load(folder / "run")
    model = aimodels.models.VisionTransformer(**{k: v for k, v in VIT.items() if k != "name"})
    np.testing.assert_array_equal(
        model.apply(variables, images), model.apply({"params": loaded.params}, images)
    )


def test_an_import_that_does_not_fit_makes_nothing(folder, tmp_path):
    write_safetensors(tmp_path / "other.safetensors", {"fc.weight": np.zeros((2, 2), np.float32)})

    def attempt(**given):
        workdir = tmp_path / "nothing"
        with pytest.raises(UserError) as error:
            import_weights(tmp_path / "other.safetensors", workdir, **given)
        assert not workdir.exists()
        return str(error.value)

    said = attempt(naming="torchvision", config=str(folder / "config.json"))
    assert "missing: class_token" in said
    assert "unknown: fc.weight" in said
    assert "one of them" in attempt(naming="torchvision")
    assert "unknown model of torchvision 'vit_b_17'" in attempt(
        naming="torchvision", model="vit_b_17"
    )


def test_a_folder_that_has_a_run_is_refused(folder, tmp_path):
    export(folder / "run", tmp_path / "ours.safetensors")
    with pytest.raises(UserError, match="holds a run already"):
        import_weights(
            tmp_path / "ours.safetensors",
            folder / "run",
            naming="ours",
            config=str(folder / "run/config.json"),
        )


def test_a_program_takes_any_batch_and_predicts_the_same(folder, tmp_path, capsys):
    pytest.importorskip("flatbuffers")
    file = tmp_path / "run.stablehlo"
    arguments = [f"--workdir={folder / 'run'}", "--format=stablehlo", f"--output={file}"]
    assert main(["export", *arguments]) == 0, capsys.readouterr().err
    assert "float32[b,8,8,1], float32[b,10]" in capsys.readouterr().out
    program = jax.export.deserialize(bytearray(file.read_bytes()))
    loaded = aimodels.load(folder / "run")
    for size in (1, 3):
        images = np.random.default_rng(size).random((size, 8, 8, 1), np.float32)
        # The same operations, compiled anew for another shape.
        np.testing.assert_allclose(program.call(images), loaded.predict(images), atol=1e-6)
    assert "stablehlo." in program.mlir_module()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--naming=huggingface", "--format=stablehlo"], "--naming is of weights"),
        (["--batch_size=3"], "--batch_size is of a program"),
        (["--step=7"], "step '7'"),
        (["--replica=1"], "replica 1 does not exist"),
    ],
)
def test_mistakes_of_an_export(folder, tmp_path, capsys, arguments, says):
    rest = [f"--workdir={folder / 'run'}", f"--output={tmp_path / 'file'}"]
    assert main(["export", *rest, *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "file").exists()


def test_published_weights_of_imagenet_come_in_by_their_name(tmp_path, capsys):
    """A file with torchvision's names; no data set is needed to make a folder of it."""
    from aimodels.models.published import published

    about = published("torchvision", "efficientnet_lite0")
    model = aimodels.models.EfficientNetLite0()
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), "float32")
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    draw = np.random.default_rng(0).standard_normal
    state = {
        place.name: draw(place.shape, dtype=np.float32)
        for place in places("torchvision", model, shapes)
    }
    write_safetensors(tmp_path / "lite0.safetensors", state)
    arguments = [
        "--from=torchvision",
        "--model=efficientnet_lite0",
        f"--workdir={tmp_path / 'run'}",
    ]
    assert main(["import", str(tmp_path / "lite0.safetensors"), *arguments]) == 0, (
        capsys.readouterr().err
    )
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["training"]["transforms"][0] == {"name": "center_crop", "size": about.size}
    export(tmp_path / "run", tmp_path / "again.safetensors", naming="torchvision")
    again = read_weights(tmp_path / "again.safetensors")
    variables = from_state_dict("torchvision", model, again, shapes)
    for name, array in to_state_dict("torchvision", model, variables).items():
        np.testing.assert_array_equal(array, state[name])


def huggingface_folder(folder, case):
    """A folder as transformers saves a model of the goldens, and what it computes of their ids."""
    golden = load("language_models", case)
    shapes = json.loads(str(golden["shapes"]))
    draw = seeded_weights.seeded
    write_safetensors(
        folder / "model.safetensors",
        {name: draw(name, tuple(shape)) for name, shape in shapes.items()},
    )
    (folder / "config.json").write_text(str(golden["config"]))
    return golden


def test_a_folder_of_transformers_says_itself_what_it_is(tmp_path, capsys):
    tokenizers = pytest.importorskip("tokenizers")
    given, workdir, out = (tmp_path / name for name in ("given", "run", "out"))
    given.mkdir()
    golden = huggingface_folder(given, "gpt2")
    words = {word: index for index, word in enumerate(["<unk>", *"abcdefghijklmnopqrstuv"])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.save(str(given / "tokenizer.json"))
    arguments = ["import", str(given), "--from=huggingface", f"--workdir={workdir}"]
    assert main(arguments) == 0, capsys.readouterr().err
    loaded = aimodels.load(workdir)
    ids = load("language_models", "ids")
    found = loaded.predict(ids["inputs"])
    largest = np.abs(golden["logits"]).max()
    valid = np.arange(7) < ids["lengths"][:, None]
    # PyTorch computed in float64.
    np.testing.assert_allclose(found[valid], golden["logits"][valid], rtol=0, atol=1e-4 * largest)
    arguments = [f"--workdir={workdir}", "--prompt=a b c", "--tokens=4", "--temperature=0"]
    assert main(["generate", *arguments]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("a b c")
    assert len(said) > len("a b c") + 4
    # And out again, with all that transformers needs.
    arguments = [f"--workdir={workdir}", "--naming=huggingface", f"--output={out}"]
    assert main(["export", *arguments]) == 0, capsys.readouterr().err
    assert (out / "model.safetensors").stat().st_size > 0
    before, after = (read_weights(f / "model.safetensors") for f in (given, out))
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
    assert json.loads((out / "config.json").read_text())["n_positions"] == 16
    vocabulary = json.loads((out / "tokenizer.json").read_text())["model"]["vocab"]
    assert vocabulary == words


@pytest.mark.parametrize("case", ["bert_masked", "t5", "bert_classification"])
def test_encoders_come_in_by_their_folder(tmp_path, case):
    golden = huggingface_folder(tmp_path, case)
    import_weights(tmp_path, tmp_path / "run", naming="huggingface")
    ids = load("language_models", "ids")
    given = {"lengths": ids["lengths"], "token_types": ids["token_types"]}
    if case == "t5":
        given = {"lengths": ids["lengths"], "decoder_inputs": ids["decoder_inputs"]}
    found, expected = (
        aimodels.load(tmp_path / "run").predict(ids["inputs"], **given),
        golden["logits"],
    )
    if case == "bert_masked":
        valid = np.arange(7) < ids["lengths"][:, None]
        found, expected = found[valid], expected[valid]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_folder_that_is_none_of_transformers_is_named(tmp_path):
    with pytest.raises(UserError, match=r"has no model\.safetensors and no pytorch"):
        import_weights(tmp_path, tmp_path / "run", naming="huggingface")
    write_safetensors(tmp_path / "model.safetensors", {"a": np.zeros(2, np.float32)})
    with pytest.raises(UserError, match=r"none where there is a config\.json beside"):
        import_weights(tmp_path, tmp_path / "run", naming="huggingface")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is not JSON"):
        import_weights(tmp_path, tmp_path / "run", naming="huggingface")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="unknown model_type in"):
        import_weights(tmp_path, tmp_path / "run", naming="huggingface")
