"""Weights come in and go out: files of others into a work folder, and a work folder into files."""

import dataclasses
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp

from aimodels.config import Config, load_config, resolve
from aimodels.data.pretrained import WEIGHTS, pretrained
from aimodels.data.text.huggingface_tokenizers import as_ours, as_theirs
from aimodels.errors import UserError
from aimodels.files import write_atomically
from aimodels.models import huggingface_configs
from aimodels.models.published import published
from aimodels.models.state_dicts import from_state_dict, to_state_dict
from aimodels.tasks.base import State, SupervisedTask
from aimodels.training.assembly import Assembly, count, prepare_jax
from aimodels.training.build import make_model
from aimodels.training.checkpoints import Checkpoints
from aimodels.training.initial_weights import source
from aimodels.training.load import config_of, load, read_variables
from aimodels.training.neighbours import word_vectors
from aimodels.training.workdir import opened
from aimodels.weights import write_safetensors

# What a program exported for them runs on.
PLATFORMS = ("cpu", "cuda", "tpu")


def import_weights(
    path: str | os.PathLike,
    workdir: str | os.PathLike,
    *,
    naming: str,
    model: str | None = None,
    config: str | None = None,
    overrides: Mapping[str, str] | None = None,
) -> int:
    """Makes a work folder of a file of weights: a config, and a checkpoint of step 0.

    Args:
      path: a .safetensors file or a PyTorch state dict, or the folder of one; or the name of
        weights that `aimodels data fetch` brings.
      workdir: new.
      naming: whose names the file has: `torchvision`, `huggingface` or `ours`.
      model: what the model is called there; its config evaluates it on ImageNet.
      config: `FILE.py[:variant]` instead, or the config.json of a work folder. With names of
        `huggingface`, and neither, the model is what the config.json beside the file says, and the
        tokenizer.json beside it comes along; task and data then stand for those to come.
      overrides: dotted field -> text, of the config.

    Returns:
      How many parameters the model has.

    Raises:
      UserError: the file can't be read; names in it are missing, unknown or have other shapes, all
        of which are listed; or the folder has a run already.
    """
    prepare_jax()
    file, workdir = _file(str(path)), Path(workdir)
    tokenizer = None
    if model is not None and config is None:
        resolved = resolve(published(naming, model).config(), overrides)
    elif config is not None and model is None:
        resolved = load_config(str(config), overrides)
    elif model is None and naming == "huggingface" and _beside(file, "config.json"):
        resolved = _described(file, overrides)
        tokenizer = _beside(file, "tokenizer.json")
    else:
        raise UserError(
            "aimodels import takes --model=NAME or --config=FILE, one of them; with "
            "--from=huggingface, none where there is a config.json beside the file"
        )
    kept = None if tokenizer is None else as_ours(tokenizer, resolved.model.vocabulary)
    assembly = Assembly(resolved)
    task = assembly.task()
    if not isinstance(task, SupervisedTask):
        raise UserError(f"task {resolved.task.name!r} takes no weights from elsewhere")
    abstract, _ = assembly.abstract
    shapes = {"params": abstract.params, **abstract.collections}
    state, naming = source(file, naming)
    variables = from_state_dict(naming, task.model, state, shapes)
    checkpoints = Checkpoints(workdir, resolved)
    if checkpoints.steps():
        raise UserError(f"{workdir} holds a run already; choose another folder with --workdir")
    replicas = len(resolved.replicas.seeds)
    begun: State = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (replicas, *jnp.shape(leaf))),
        task.state_of(jax.tree.map(jnp.asarray, variables)),
    )
    with opened(workdir, resolved):
        if kept is not None:
            write_atomically(workdir / "tokenizer.json", kept)
        checkpoints.save(0, begun, {})
        checkpoints.wait()
    return count(variables["params"])


def _file(path: str) -> str:
    """The file of weights that a path or a name means; a work folder stays one."""
    if path in WEIGHTS and not Path(path).exists():
        return str(pretrained(path))
    folder = Path(path)
    if not folder.is_dir() or (folder / "checkpoints").exists():
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return str(folder / name)
    raise UserError(f"{path} has no model.safetensors and no pytorch_model.bin")


def _beside(file: str, name: str) -> str | None:
    """The text of a file beside one of weights; None if there is none."""
    place = Path(file).with_name(name)
    return place.read_text() if place.is_file() else None


def _described(file: str, overrides: Mapping[str, str] | None) -> Config:
    """The config that a config.json of transformers gives."""
    section = huggingface_configs.read(Path(file).with_name("config.json"))
    return resolve(huggingface_configs.config_of(section), overrides)


def export(
    workdir: str | os.PathLike,
    output: str | os.PathLike,
    *,
    format: Literal["safetensors", "stablehlo", "word2vec"] = "safetensors",
    naming: str = "ours",
    step: int | str = "latest",
    replica: int = 0,
    batch_size: int | None = None,
) -> str:
    """Writes the weights of a run, or the run's whole `predict`, to a file.

    Args:
      workdir: where it was trained, or imported to.
      output: the file; with names of `huggingface`, of a language model, it may be a folder, which
        gets config.json and, from a run that has one, tokenizer.json too.
      format: `safetensors` are the weights; `stablehlo` is the program that predicts, with
        them in it, as `jax.export` keeps it; `word2vec` are vectors of words as text: how many
        there are and their width, then a word and its numbers a line.
      naming: of the weights: `ours`, `torchvision` or `huggingface`.
      step: `latest`, `best` or a number.
      replica: which one, counted from 0.
      batch_size: of the program; by default it takes any.

    Returns:
      A line that says what was written.

    Raises:
      UserError: the model has no such names, or its program takes one batch size only.
    """
    output = Path(output)
    if format == "stablehlo":
        if naming != "ours":
            raise UserError("--naming is of weights: --format=safetensors")
        return _export_program(workdir, output, step, replica, batch_size)
    if format == "word2vec":
        if naming != "ours":
            raise UserError("--naming is of weights: --format=safetensors")
        vectors = word_vectors(Path(workdir), step=step, replica=replica)
        vectors.save(output)
        return f"{len(vectors.words):,} words, {vectors.table.shape[1]} numbers each"
    if batch_size is not None:
        raise UserError("--batch_size is of a program: --format=stablehlo")
    variables = read_variables(workdir, step=step, replica=replica)
    model = make_model(config_of(Path(workdir))) if naming != "ours" else None
    state: Any = to_state_dict(naming, model, variables)  # type: ignore[arg-type]
    described = huggingface_configs.theirs(model) if naming == "huggingface" else None
    if described is not None and not output.suffix:
        output.mkdir(parents=True, exist_ok=True)
        write_atomically(output / "config.json", json.dumps(described, indent=2))
        kept = Path(workdir) / "tokenizer.json"
        tokenizer = as_theirs(kept.read_text()) if kept.is_file() else None
        if tokenizer is not None:
            write_atomically(output / "tokenizer.json", tokenizer)
        output = output / "model.safetensors"
    write_safetensors(output, state)
    return f"{len(state)} arrays, {sum(array.size for array in state.values()):,} numbers"


def _export_program(
    workdir: str | os.PathLike, output: Path, step: int | str, replica: int, size: int | None
) -> str:
    from jax import export as jax_export

    if importlib.util.find_spec("flatbuffers") is None:  # of jax.export; said before the work
        raise UserError("StableHLO needs a package: pip install 'aimodels[export]'")
    loaded = load(workdir, step=step, replica=replica)
    batch = loaded.batch
    fields = [name for name in ("inputs", "lengths") if name in batch]
    sizes = jax_export.symbolic_shape("b") if size is None else (size,)
    given = [jax.ShapeDtypeStruct((*sizes, *batch[f].shape[1:]), batch[f].dtype) for f in fields]

    state = loaded.state
    # On the host, or the program would be one for as many devices as they are divided over.
    on_host = jax.device_get((state.params, state.collections, state.ema))
    names = ("params", "collections", "ema")
    state = dataclasses.replace(state, **dict(zip(names, on_host, strict=True)))

    def predict(*arrays: jax.Array) -> Any:
        return loaded.task.predict(state, dict(zip(fields, arrays, strict=True)))

    try:
        exported = jax_export.export(jax.jit(predict), platforms=PLATFORMS)(*given)
    except UserError:
        raise
    except Exception as error:  # whatever a model does that it can't do with any size
        if size is not None:
            raise
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"this model's program can't take batches of any size ({reason}); give one, e.g. "
            "--batch_size=1"
        ) from error
    write_atomically(output, bytes(exported.serialize()))
    shapes = ", ".join(str(aval) for aval in (*exported.in_avals, *exported.out_avals))
    return f"StableHLO for {', '.join(PLATFORMS)}: {shapes}"
