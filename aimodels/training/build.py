"""From a resolved config to its data, its task and the function that builds the task."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.config import Config, call_section, find, with_values
from aimodels.data.source import ArraySource, Source
from aimodels.data.text.tokenizers import from_json
from aimodels.errors import UserError
from aimodels.tasks.base import Batch, Task


def make_model(config: Mapping[str, Any], environment: Any = None) -> Any:
    """The model of a config, with the dtypes of its precision; None if it has none.

    Args:
      config: of a run.
      environment: in which it acts; a network of an agent has an output for each of its actions.
    """
    if config["model"] is None:
        return None
    dtype = jnp.dtype(config["precision"])
    param_dtype = jnp.promote_types(dtype, jnp.float32)  # bfloat16 computes, float32 is kept
    actions = {} if environment is None else {"num_actions": environment.num_actions}
    return call_section("model", config["model"], dtype=dtype, param_dtype=param_dtype, **actions)


def task_builder(config: Config) -> Callable[[Mapping[str, Any]], Task]:
    """Varied fields (dotted name -> value, may be traced) -> the config's task with them."""
    from aimodels.data.transforms import Pipeline
    from aimodels.training.optimizers import make_optimizer

    steps = config.training.steps
    chain = tuple(call_section("transform", t) for t in config.training.transforms)
    transforms = Pipeline(chain)
    environment = config.environment and call_section("environment", config.environment.to_dict())
    # For tasks that need what no batch tells, such as counts of all words.
    data_set = config.data and call_section("data", config.data.to_dict())
    task = find("task", config.task.name)
    known = isinstance(task, type) and issubclass(task, Task)  # a user's own may be a function
    updates = task.updates_per_step(config.task) if known else 1

    def build(varied: Mapping[str, Any]) -> Task:
        values = with_values(config, varied)
        optimizer = values["optimizer"] and make_optimizer(values["optimizer"], steps, updates)
        return call_section(
            "task",
            values["task"],
            model=make_model(values, environment),
            environment=environment,
            data_set=data_set,
            optimizer=optimizer,
            transforms=transforms,
            gradient_accumulation=config.training.gradient_accumulation,
            remat=config.parallel.remat,
            ema_decay=values["training"]["ema_decay"],
            frozen_parameters=values["optimizer"]["frozen"] if optimizer else (),
            total_steps=steps,
        )

    return build


def check_vocabulary(config: Config) -> None:
    """Whether the model has a place for each id of the data's tokenizer. Reads the data.

    A language model makes ids, each of which the tokenizer must know; other models may have more of
    them, such as sentinels, or rows of weights that were trained on more.

    Raises:
      UserError: it has not.
    """
    if config.data is None or config.model is None or "vocabulary" not in config.model:
        return
    content = call_section("data", config.data.to_dict()).files().get("tokenizer.json")
    if content is None:
        return
    ours, theirs = config.model.vocabulary, from_json(content).vocabulary
    makes_ids = config.task.name == "language_model"
    if ours is not None and (theirs > ours or (makes_ids and theirs < ours)):
        raise UserError(
            f"config.model.vocabulary is {ours:,}, but the tokenizer of config.data has {theirs:,} "
            f"tokens; take --config.model.vocabulary={theirs}"
        )


def varied_in_program(config: Config) -> dict[str, tuple]:
    """The varied fields that are arguments of the compiled step: all but those of the data."""
    return {k: v for k, v in config.replicas.vary.items() if not k.startswith("data.")}


def load_split(config: Config, split: str) -> list[Source]:
    """The sources of a split: one for all replicas, or one each where fields of data vary.

    Raises:
      UserError: if the data set is missing or damaged, the split unknown or empty, or the
        replicas' training sets differ in length.
    """
    if config.data is None:
        return [episodes(config, split)]
    varied = {k: v for k, v in config.replicas.vary.items() if k.startswith("data.")}
    count = len(config.replicas.seeds) if varied else 1
    loaded: dict[tuple, Source] = {}
    sources = []
    for replica in range(count):
        values = {path: items[replica] for path, items in varied.items()}
        key = tuple(values.items())
        if key not in loaded:
            section = with_values(config, values)["data"]
            loaded[key] = call_section("data", section).load(split)
        sources.append(loaded[key])
    lengths = sorted({len(source) for source in sources})
    if len(lengths) > 1:
        raise UserError(
            f"config.replicas.vary: split {split!r} has {lengths[0]} to {lengths[-1]} examples, "
            "depending on the replica; replicas of one program need equal lengths"
        )
    return sources


def episodes(config: Config, split: str) -> Source:
    """What an agent is evaluated on: `evaluation.batch_size` episodes, numbered."""
    if split != "test":
        raise UserError(
            f"split {split!r}: without a data set there is only 'test', "
            "episodes that the trained agent plays"
        )
    return ArraySource({"episode": np.arange(config.evaluation.batch_size, dtype=np.int32)})


def abstract_batch(config: Config) -> Batch:
    """A training batch in shapes alone: from what is known of the data set, else from its data."""
    if config.data is None:
        return {}
    features: Mapping[str, Any] = call_section("data", config.data.to_dict()).info().features
    size = config.training.batch_size
    if features and all(None not in feature.shape for feature in features.values()):
        return {
            name: jax.ShapeDtypeStruct((size, *feature.shape), jnp.dtype(feature.dtype))
            for name, feature in features.items()
        }
    source = load_split(config, config.training.split)[0]
    first = source.gather(np.zeros(size, np.int64))
    return {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in first.items()}


def abstract_key() -> Any:
    """A key in its shape and dtype alone."""
    return jax.eval_shape(lambda: jax.random.key(0))
