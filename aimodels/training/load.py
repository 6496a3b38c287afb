"""Reads a trained run, to look at it, to predict with it, or to evaluate it again."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError
from flax.traverse_util import unflatten_dict

from aimodels.config import Config, load_config, plain, resolve
from aimodels.errors import UserError, raised_on_host
from aimodels.tasks.base import Batch, State, Task
from aimodels.training.assembly import Assembly, prepare_jax
from aimodels.training.checkpoints import Checkpoints
from aimodels.training.evaluation import Evaluator
from aimodels.training.loop import by_split
from aimodels.training.processes import is_first, several, share


class Loaded:
    """A trained run, read from its work folder.

    Attributes:
      config: the resolved config.
      task: the task, with the values of the replica.
      step: of the checkpoint.
      state: of the replica.
    """

    def __init__(self, workdir: str | os.PathLike, step: int | str, replica: int) -> None:
        prepare_jax()
        workdir = Path(workdir)
        self.config = resolve(share(plain(config_of(workdir)) if is_first() else None))
        replicas = len(self.config.replicas.seeds)
        if not 0 <= replica < replicas:
            raise UserError(f"replica {replica} does not exist: {workdir} has 0 to {replicas - 1}")
        self._assembly = Assembly(_on_devices_here(self.config))
        self.task = self._assembly.task(replica)
        self.checkpoints = Checkpoints(workdir, self.config)
        self.step = share(_pick_step(self.checkpoints, step) if is_first() else None)
        self.program = self._assembly.program()
        self.layout = self._assembly.layout
        self._replica = replica
        self.all_replicas = self.checkpoints.restore(self.step, self._assembly.target())
        self.state: State = jax.tree.map(self._of_replica(replica), self.all_replicas)
        self._predict = jax.jit(self.task.predict)

    def _of_replica(self, replica: int) -> Callable[[jax.Array], jax.Array]:
        """A leaf of all replicas -> that of one, which has no use for the others' devices."""
        parallel = self._assembly.config.parallel
        if several() or parallel.data * parallel.model > 1:
            return lambda leaf: leaf[replica]
        return lambda leaf: jax.device_put(leaf[replica], jax.devices()[0])

    def state_of(self, step: int) -> State:
        """The state of the replica at another checkpoint."""
        state = self.checkpoints.restore(step, self._assembly.target())
        return jax.tree.map(self._of_replica(self._replica), state)

    @property
    def batch(self) -> Batch:
        """A batch of the run's training, in shapes alone."""
        return self._assembly.batch

    @property
    def params(self) -> Any:
        """The weights to use: the moving average if there is one."""
        return self.state.variables["params"]

    def predict(self, inputs: Any, **fields: Any) -> Any:
        """What the task says of raw inputs [B, ...], as the data set gives them: NumPy arrays.

        The model's outputs, for most tasks; a detector's `Detections`.

        Args:
          inputs: [B, ...].
          fields: others that a batch has, e.g. `lengths` [B].

        Raises:
          UserError: if the task or its model can't take inputs of this shape or dtype.
        """
        batch = {name: jnp.asarray(value) for name, value in {"inputs": inputs, **fields}.items()}
        given, taken = batch["inputs"], self.batch.get("inputs")

        def unsuitable(reason: str) -> UserError:
            found = f"inputs: {given.dtype}{list(given.shape)} don't suit the run"
            if taken is not None:
                found += f", which was trained on {taken.dtype}{list(taken.shape[1:])}, B of them"
            return UserError(f"{found}: {reason}")

        if taken is not None:
            wanted = jax.dtypes.canonicalize_dtype(taken.dtype), taken.ndim
            if (given.dtype, given.ndim) != wanted:
                raise unsuitable("another dtype or number of axes")
        try:
            said = self._predict(self.state, batch)
        except (FlaxError, TypeError, ValueError) as error:  # what tracing raises of shapes
            raise unsuitable(str(error).partition("\n")[0]) from error
        return jax.tree.map(np.asarray, said)


def config_of(workdir: Path) -> Config:
    """The resolved config of a work folder."""
    file = workdir / "config.json"
    if not file.is_file():
        raise UserError(f"{workdir} is not a work folder: it has no config.json")
    return load_config(str(file))


def _on_devices_here(config: Config) -> Config:
    """The config with its own mesh, or on one device where there are too few for it."""
    parallel = config.parallel
    if max(parallel.replica, 1) * parallel.data * parallel.model <= len(jax.devices()):
        return config
    return resolve({**plain(config), "parallel": {}})


def _pick_step(checkpoints: Checkpoints, step: int | str) -> int:
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"{checkpoints.folder} has no checkpoint; train the run first")
    if step == "latest":
        return steps[-1]
    if step == "best":
        best = checkpoints.best_step()
        if best is None:
            raise UserError(
                f"{checkpoints.folder} has no best checkpoint: the run's config.checkpoint.best "
                "names no metric; take step latest"
            )
        return best
    if not str(step).isdigit() or int(step) not in steps:
        raise UserError(f"step {step!r}: {checkpoints.folder} has latest, best and {steps}")
    return int(step)


def load(workdir: str | os.PathLike, *, step: int | str = "latest", replica: int = 0) -> Loaded:
    """Reads a run: its config, task, weights and a predict function.

    Args:
      workdir: where it was trained.
      step: `latest`, `best` or a number.
      replica: which one, counted from 0.
    """
    return Loaded(workdir, step, replica)


def read_variables(
    workdir: str | os.PathLike, *, step: int | str = "latest", replica: int = 0
) -> dict[str, Any]:
    """The variables of a run, {"params": ..., ...}, with the moving average if there is one.

    Only the checkpoint is read: the run's data set need not be here.

    Args:
      workdir: where it was trained.
      step: `latest`, `best` or a number.
      replica: which one, counted from 0.
    """
    checkpoints = Checkpoints(Path(workdir), config_of(Path(workdir)))
    arrays = checkpoints.arrays(_pick_step(checkpoints, step))
    weights = "ema." if any(name.startswith("ema.") for name in arrays) else "params."
    found = {}
    for name, array in arrays.items():
        if name.startswith(weights):
            name = f"params.{name.removeprefix(weights)}"
        elif not name.startswith("collections."):
            continue
        if not 0 <= replica < len(array):
            raise UserError(
                f"replica {replica} does not exist: {workdir} has 0 to {len(array) - 1}"
            )
        found[name.removeprefix("collections.")] = array[replica]
    return unflatten_dict(found, sep=".")


def load_checkpoints(
    workdir: str | os.PathLike, most: int, *, replica: int = 0
) -> tuple[Task, dict[int, Any]]:
    """The task of a run, and the variables of several checkpoints: step -> variables.

    Args:
      workdir: where it was trained.
      most: so many of those that are kept, the first and the last among them, evenly spaced.
      replica: which one, counted from 0.
    """
    loaded = load(workdir, replica=replica)
    steps = loaded.checkpoints.steps()
    places = np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int)
    # With one place it is the first one; the last is what was trained.
    chosen = [steps[place] for place in places] if most > 1 else steps[-1:]
    return loaded.task, {step: loaded.state_of(step).variables for step in chosen}


def evaluate(
    workdir: str | os.PathLike,
    *,
    splits: tuple[str, ...] | None = None,
    step: int | str = "latest",
) -> dict[str, Any]:
    """Evaluates a checkpoint of a run: `{"step", "replicas": [{"seed", "metrics", "arrays"}]}`."""
    loaded = load(workdir, step=step)
    evaluator = Evaluator(loaded.config, loaded.layout, splits)
    with raised_on_host():
        scalars, arrays = evaluator(loaded.program, loaded.all_replicas, loaded.step)

    def of(results: Mapping[str, Mapping[str, np.ndarray]], replica: int) -> dict[str, Any]:
        return {name: values[replica].tolist() for name, values in by_split(results).items()}

    return {
        "workdir": str(workdir),
        "step": loaded.step,
        "replicas": [
            {"seed": seed, "metrics": of(scalars, index), "arrays": of(arrays, index)}
            for index, seed in enumerate(plain(loaded.config.replicas.seeds))
        ],
    }
