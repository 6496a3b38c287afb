"""The fixed sections of a config: their fields, defaults and types."""

import dataclasses
from typing import Annotated, Any, Literal, TypeAlias

# A resolved config: an `ml_collections.ConfigDict`, whose fields a type checker can't know.
Config: TypeAlias = Any


@dataclasses.dataclass(frozen=True)
class AtLeast:
    """The smallest number that a field takes."""

    minimum: float

    def allows(self, number: float) -> bool:
        """Whether the field takes the number."""
        return number >= self.minimum

    def __str__(self) -> str:
        return f">= {self.minimum:g}"


@dataclasses.dataclass(frozen=True)
class AtMost:
    """The largest number that a field takes."""

    maximum: float

    def allows(self, number: float) -> bool:
        """Whether the field takes the number."""
        return number <= self.maximum

    def __str__(self) -> str:
        return f"<= {self.maximum:g}"


Positive = Annotated[int, AtLeast(1)]
NotNegative = Annotated[int, AtLeast(0)]
Fraction = Annotated[float, AtLeast(0), AtMost(1)]


@dataclasses.dataclass(frozen=True)
class Training:
    """What a step trains on, and how many there are.

    Attributes:
      steps: parameter updates in all.
      batch_size: examples a step, over all devices; None for a task that makes its own data.
      split: the examples to train on, e.g. `train[:90%]`.
      order: `shuffled` is a new permutation for each epoch; `by_length` is the same, but for
        sequences, whose batches then have like lengths; `cyclic` is the file's own order.
      transforms: applied to each batch, in this order; each a name or a dict with a name.
      gradient_accumulation: equal parts of the batch whose gradients are averaged.
      ema_decay: of an exponential moving average of the weights, which is then what is evaluated;
        at most (1 + step) / (10 + step), so that the initial weights are soon forgotten.
      log_every: steps between two lines of metrics.
    """

    steps: Positive
    batch_size: Positive | None = None
    split: str = "train"
    order: Literal["shuffled", "by_length", "cyclic"] = "shuffled"
    transforms: tuple[str | dict, ...] = ()
    gradient_accumulation: Positive = 1
    ema_decay: Annotated[float, AtLeast(0)] = 0.0
    log_every: Positive = 100


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Which splits are evaluated, and when: every so many steps (0: only at the end).

    Attributes:
      splits: of the data set; of an environment there is `test`.
      every: steps.
      batch_size: examples at a time; of an environment, episodes in all.
    """

    splits: tuple[str, ...] = ("test",)
    every: NotNegative = 0
    batch_size: Positive = 1000


@dataclasses.dataclass(frozen=True)
class Replicas:
    """Runs that are trained in one program.

    Attributes:
      seeds: one a replica; decides its weights, the order of its data and its dropout.
      vary: field -> one value a replica, e.g. `{"optimizer.learning_rate": (1e-3, 1e-2)}`.
      mode: `vmap` runs them as one batched program, `sequential` one after the other through
        the same compiled step; `auto` decides by the size of a step, or measures both.
    """

    seeds: tuple[NotNegative, ...] = (0,)
    vary: dict = dataclasses.field(default_factory=dict)
    mode: Literal["auto", "vmap", "sequential"] = "auto"


@dataclasses.dataclass(frozen=True)
class Execution:
    """How steps are run; none of it changes which batches a step sees.

    Attributes:
      steps_per_dispatch: steps in one call of the device, which loops over them; 0 takes about a
        second's worth of a slow CPU, at most 100.
      feed: `device` keeps the training set in device memory, `host` gathers and prefetches.
      threads: of JAX on a CPU, in a run of one replica; 0 takes all cores. For a step of many small
        operations, as that of an agent, one thread is faster than what several cost to wake.
    """

    steps_per_dispatch: NotNegative = 0
    feed: Literal["auto", "device", "host"] = "auto"
    threads: NotNegative = 0


@dataclasses.dataclass(frozen=True)
class Parallel:
    """The mesh of devices.

    Attributes:
      data: devices over which a batch is divided.
      model: devices over which parameters can be divided.
      replica: devices over which replicas are divided; 0 takes as many as there are for it, on a
        CPU its cores.
      rules: how parameters are divided. `fsdp` divides large ones over `data`, `tensor` layers
        over `model`, `fsdp_tensor` both; or (regular expression on the parameter's path, axes)
        pairs, of which the first match counts, e.g. `((".*/kernel", (None, "model")),)`. What
        none divides is copied to every device.
      strategy: `jit` for one program over the mesh; `pmap` for one a device, each with its part of
        every batch, which averages gradients. Both give the same, but that under `pmap` each device
        draws its own dropout and augmentation; it takes `data` alone, and is there for code that
        is written for it.
      remat: `blocks` keeps only what goes from block to block of a Transformer (from step to step
        of a recurrent layer) for the backward pass, and computes the rest twice: less memory.
    """

    data: Positive = 1
    model: Positive = 1
    replica: NotNegative = 0
    rules: (
        Literal["fsdp", "tensor", "fsdp_tensor"] | tuple[tuple[str, tuple[str | None, ...]], ...]
    ) = ()
    strategy: Literal["jit", "pmap"] = "jit"
    remat: Literal["none", "blocks"] = "none"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """When the state is saved, and what is kept.

    Attributes:
      every: steps between two saves (0: only at the end and when stopped).
      keep: how many of the newest are kept.
      best: evaluation metric by which the best one is kept as well, e.g. `test/accuracy`.
      best_mode: whether the best is the largest or the smallest.
    """

    every: NotNegative = 0
    keep: Positive = 1
    best: str | None = None
    best_mode: Literal["max", "min"] = "max"


@dataclasses.dataclass(frozen=True)
class InitFrom:
    """Weights to begin with, in place of random ones; a config has this section or has it not.

    A run that goes on from a checkpoint does not read them again. All of the model's arrays are
    taken, running statistics of norms too, but those that are `new`.

    Attributes:
      path: a work folder; a .safetensors file; a PyTorch state dict; or the name of weights that
        `aimodels data fetch` brings.
      step: of a work folder: `latest`, `best` or a number.
      replica: of a work folder, counted from 0.
      naming: whose names a file has.
      model: what the weights' own model is called there, as in `aimodels import --model`, if it is
        another than this run's: a classifier whose trunk a detector begins with.
      new: patterns of our parameters that start as always, e.g. `("^head/",)`.
      ignore: patterns of names in `path` that are left there.
      rename: (pattern, replacement) pairs, applied to each name in `path` one after the other.
    """

    path: str
    step: str | int = "latest"
    replica: NotNegative = 0
    naming: Literal["ours", "torchvision", "huggingface"] = "ours"
    model: str = ""
    new: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Profile:
    """Writes a trace of `steps` steps from step `start` on to `profile/` (0 steps: none)."""

    start: NotNegative = 10
    steps: NotNegative = 0


FIXED: dict[str, type] = {
    "training": Training,
    "evaluation": Evaluation,
    "replicas": Replicas,
    "execution": Execution,
    "parallel": Parallel,
    "checkpoint": Checkpoint,
    "profile": Profile,
}
# Sections that a config has only where it gives them.
SOMETIMES: dict[str, type] = {"init_from": InitFrom}
PRECISIONS = ("float32", "bfloat16", "float64")
