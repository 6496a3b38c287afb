"""One compiled function of a task: steps in a dispatch, replicas, a mesh of devices."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aimodels.data.feed import Feed
from aimodels.modules.blocks import dividing, mapping
from aimodels.modules.convolution import vmapped
from aimodels.tasks.base import Batch, State, Task
from aimodels.tasks.updates import norm
from aimodels.training.parallel import Layout, compiler_options

# Every use of randomness has its own stream: key = fold_in(fold_in(root, stream), step).
STREAMS = {"init": 0, "train": 1, "eval": 2}


# For a function that runs once: on the CPU its compilation takes longer than its run, and a
# quarter of that without optimizations.
_ONCE = {"xla_backend_optimization_level": 0}


def step_key(seed: Any, stream: str, step: Any) -> jax.Array:
    """The key of a step: a function of the seed, the stream's name and the step alone."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), STREAMS[stream]), step)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How the steps of a run are executed.

    Attributes:
      steps_per_dispatch: 1 calls the device for every step; more loops over them on the device.
      replicas: `vmap` or `sequential`.
      reason: why, for the log.
    """

    steps_per_dispatch: int
    replicas: str
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What came out of a dispatch; arrays on the device, with a leading replica axis.

    Attributes:
      metrics: of its last step, name -> [R].
      failed_step: the first step whose metrics were not all finite, -1 if there is none, [R].
      failed: which metrics those were, name -> bool [R].
    """

    metrics: dict[str, jax.Array]
    failed_step: jax.Array
    failed: dict[str, jax.Array]


class Program:
    """The compiled functions of a config: `init`, `run` and `evaluate`.

    States have a leading replica axis throughout.

    Args:
      build_task: values of the varied fields (dotted name -> scalar) -> the task.
      seeds: one a replica.
      varied: dotted field -> one value a replica.
      layout: where arrays live on the mesh.
      plan: how steps are run.
    """

    def __init__(
        self,
        build_task: Callable[[Mapping[str, Any]], Task],
        seeds: Sequence[int],
        varied: Mapping[str, Sequence[float]],
        layout: Layout,
        plan: Plan,
    ) -> None:
        self._build_task, self._layout, self.plan = build_task, layout, plan
        self.replicas = len(seeds)
        self._vmapped = plan.replicas == "vmap"
        self._runs = {
            "seed": np.asarray(seeds, np.uint32),
            "varied": {name: np.asarray(jnp.asarray(values)) for name, values in varied.items()},
        }
        self._compiled: dict[Any, Callable] = {}

    # --- init ------------------------------------------------------------------------------------

    def _init(self, runs: Any, batch: Batch, batch_axis: int | None, given: Any = None) -> State:
        def one(run: Any, batch: Batch, given: Any) -> State:
            task = self._build_task(run["varied"])
            state = task.init(step_key(run["seed"], "init", 0), batch)
            return task.begin_with(state, given) if given else state

        # A replica is initialised by itself: its weights do not depend on how many there are.
        return jax.vmap(one, in_axes=(0, batch_axis, 0))(runs, batch, given or {})

    def abstract_state(self, batch: Batch) -> State:
        """Shapes, dtypes and shardings of the state, from an abstract batch of one replica."""
        shapes = jax.eval_shape(
            lambda runs, batch: self._init(runs, batch, None), self._runs, batch
        )
        return self._layout.place_abstract(shapes)

    def init(
        self, feed: Feed, target: State, given: Mapping[str, jax.Array] | None = None
    ) -> State:
        """The state before the first step, initialised with the feed's first batch.

        Args:
          feed: gives the batch.
          target: what `abstract_state` said of it.
          given: variables that are not initialised, by their paths, with a leading replica axis.
        """
        items = jax.tree.map(lambda x: x[:, 0], feed.chunk(0, 0, 1))

        def init(runs: Any, arrays: Any, items: Any, given: Any) -> State:
            if feed.per_replica:
                return self._init(runs, jax.vmap(feed.gather)(arrays, items), 0, given)
            return self._init(runs, feed.gather(arrays, _pick(items, 0)), None, given)

        compiled = jax.jit(
            init,
            out_shardings=self._layout.shardings(target),
            compiler_options=_ONCE if jax.default_backend() == "cpu" else None,
        )
        return compiled(self._runs, feed.arrays, items, dict(given or {}))

    # --- steps -----------------------------------------------------------------------------------

    def run(
        self,
        state: State,
        feed: Feed,
        start: int,
        steps: int,
        active: np.ndarray | None = None,
    ) -> tuple[State, StepReport]:
        """Trains `steps` steps from `start` on, at most `plan.steps_per_dispatch`.

        Args:
          state: donated.
          feed: gives the batches.
          start: steps done so far.
          steps: how many.
          active: bool [R], which replicas are trained; the others stay as they are, and so does
            one whose own step isn't `start`: it failed in an earlier dispatch.
        """
        items = self._layout.parts(feed.chunk(start, steps, self.plan.steps_per_dispatch))
        if "run" not in self._compiled:
            self.compile(feed, jax.tree.map(_abstract, state))
        active = np.ones(self.replicas, bool) if active is None else active
        arguments = (self._runs, active, feed.arrays, items, np.int32(start), np.int32(steps))
        state, (metrics, failed_step, failed) = self._compiled["run"](state, *arguments)
        return state, StepReport(metrics, failed_step, failed)

    def compile(self, feed: Feed, state: State) -> Any:
        """Compiles `run` for a feed and an abstract state, while no state is there yet.

        Returns:
          The compiled program, to be asked for its costs.
        """
        items = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                (x.shape[0], self.plan.steps_per_dispatch, *x.shape[2:]),
                x.dtype,
                sharding=getattr(x, "sharding", None),
            ),
            self._layout.parts(feed.chunk(0, 0, 1)),
        )
        active, zero = np.ones(self.replicas, bool), np.int32(0)
        jitted = self._layout.jit_step(self._run_function(feed), state)
        lowered = jitted.lower(state, self._runs, active, feed.arrays, items, zero, zero)
        compiled = self._compiled["run"] = lowered.compile()
        return compiled

    def _run_function(self, feed: Feed) -> Callable:
        """(states, runs, active, arrays, items, start, steps) -> (states, report)."""
        many, axis = self.replicas > 1, self._layout.axis

        def one(
            state: State, run: Any, active: Any, arrays: Any, items: Any, start: Any, steps: Any
        ) -> tuple:
            """Some steps of one replica."""
            task = self._build_task(run["varied"])
            active = active & (state.step == start)

            def step(index: Any, state: State) -> tuple[State, dict]:
                batch = feed.gather(arrays, _pick(items, index))
                batch = self._layout.constrain_batch(batch)
                key = step_key(run["seed"], "train", state.step)
                if axis:
                    key = jax.random.fold_in(key, jax.lax.axis_index(axis))
                with dividing(self._layout.divide), mapping(axis):
                    return task.train_step(state, batch, key)

            shapes = jax.eval_shape(step, 0, state)[1]
            later = sorted(name for name in shapes if hasattr(shapes[name], "compute"))
            checked = sorted(set(shapes) - set(later))

            def body(index: Any, carry: tuple) -> tuple:
                before, (_, failed_step, failed) = carry
                state, metrics = step(index, before)
                bad = _not_finite([metrics[name] for name in checked])
                first = bad.any() & (failed_step < 0) & active
                failed_step = jnp.where(first, before.step + 1, failed_step)
                if many:  # one that failed stands still, while the others go on
                    state = _keep(before, state, ~active | (failed_step >= 0))
                return state, (metrics, failed_step, jnp.where(first, bad, failed))

            nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
            carry = state, (nothing, jnp.int32(-1), jnp.zeros(len(checked), bool))
            if many and not self._vmapped:
                steps = jnp.where(active, steps, 0)
            # The trip count is an argument, so every chunk runs the same program whatever its
            # length, and where a run was interrupted can't change its bits.
            state, (metrics, failed_step, failed) = jax.lax.fori_loop(0, steps, body, carry)
            with dividing(self._layout.divide):
                metrics |= {name: metrics[name].compute() for name in later}
                metrics["parameter_norm"] = norm(state.params)
            later.append("parameter_norm")
            bad = _not_finite([metrics[name] for name in later])
            failed = dict(zip(checked + later, jnp.append(failed, bad), strict=True))
            first = bad.any() & (failed_step < 0) & active
            return state, (metrics, jnp.where(first, state.step, failed_step), failed)

        per_replica = (True, True, True, feed.per_replica, True, False, False)
        return self._of_all(one, per_replica, donated=0)

    def _of_all(
        self, one: Callable, per_replica: Sequence[bool], donated: int | None = None
    ) -> Callable:
        """A function of one replica -> that of all: each device runs its own, as the plan says.

        Args:
          one: a function of one replica; if `donated`, it returns that argument anew, and more.
          per_replica: which of its arguments have, for all, a leading replica axis.
          donated: the argument whose memory its new value takes.
        """
        axes = tuple(0 if each else None for each in per_replica)

        def of(arguments: Sequence[Any], index: Any) -> list[Any]:
            pairs = zip(arguments, per_replica, strict=True)
            return [_pick(argument, index) if each else argument for argument, each in pairs]

        def some(*arguments: Any) -> Any:
            replicas = len(jax.tree.leaves(arguments[0])[0])
            if replicas == 1:
                return jax.tree.map(lambda x: x[None], one(*of(arguments, 0)))
            if self._vmapped:
                with vmapped():
                    return jax.vmap(one, axes)(*arguments)

            # By leaves: a task may make the type of its metrics anew each time it is traced.
            def body(index: Any, carry: list[Any]) -> list[Any]:
                now = list(arguments)
                if donated is not None:
                    now[donated] = jax.tree.unflatten(structure, carry)[0]
                parts = jax.tree.leaves(one(*of(now, index)))
                return [whole.at[index].set(part) for whole, part in zip(carry, parts, strict=True)]

            shapes, structure = jax.tree.flatten(jax.eval_shape(one, *of(arguments, 0)))
            carry = [jnp.zeros((replicas, *x.shape), x.dtype) for x in shapes]
            if donated is not None:
                kept = jax.tree.leaves(arguments[donated])
                carry = [*kept, *carry[len(kept) :]]
            return jax.tree.unflatten(structure, jax.lax.fori_loop(0, replicas, body, carry))

        return self._layout.over_replicas(some, per_replica)

    # --- evaluation ------------------------------------------------------------------------------

    def eval_step(self, state: State, batch: Batch, step: int, per_replica: bool) -> Any:
        """The metric collection of one batch for every replica, leaves [R, ...].

        Args:
          state: not donated.
          batch: leaves [B, ...], or [R, B, ...] if `per_replica`.
          step: decides the key.
          per_replica: whether each replica has a batch of its own.
        """
        key = _eval_key(batch, per_replica)
        if key not in self._compiled:
            self.compile_eval(jax.tree.map(_abstract, state), batch, per_replica)
        return self._compiled[key](state, self._runs, batch, np.int32(step))

    def compile_eval(self, state: State, batch: Batch, per_replica: bool) -> Any:
        """Compiles `eval_step` for an abstract state and a batch; returns abstract metrics [R]."""
        function = self._of_all(self._evaluate_one, (True, True, per_replica, False))
        jitted = jax.jit(
            function,
            compiler_options=compiler_options(),
            out_shardings=self._layout.everywhere,
        )
        lowered = jitted.lower(state, self._runs, batch, np.int32(0))
        self._compiled[_eval_key(batch, per_replica)] = lowered.compile()
        return lowered.out_info

    def _evaluate_one(self, state: State, run: Any, batch: Batch, step: Any) -> Any:
        batch = self._layout.constrain_batch(batch)
        task = self._build_task(run["varied"])
        with dividing(self._layout.divide):
            return task.eval_step(state, batch, step_key(run["seed"], "eval", step))

    def abstract_metrics(self, state: Any, batch: Batch, per_replica: bool) -> Any:
        """The evaluation's metrics of all replicas, in shapes alone, to learn their names."""
        function = self._of_all(self._evaluate_one, (True, True, per_replica, False))
        return jax.eval_shape(function, state, self._runs, batch, np.int32(0))


def _eval_key(batch: Batch, per_replica: bool) -> tuple:
    """Of batches for which one program does: splits may differ in fields and length of rows."""
    leaves, fields = jax.tree.flatten(batch)
    return ("evaluate", per_replica, fields, *((leaf.shape, leaf.dtype) for leaf in leaves))


def _pick(tree: Any, index: Any) -> Any:
    """One entry of the leading axis of every leaf."""
    return jax.tree.map(lambda x: x[index], tree)


def _keep(before: State, after: State, still: jax.Array) -> State:
    """`after`, or `before` where a replica stands still.

    But for what a task keeps in `extra`: a replay memory would be copied whole in each step.
    """
    kept = optax.tree.where(
        still, dataclasses.replace(before, extra=None), dataclasses.replace(after, extra=None)
    )
    return dataclasses.replace(kept, extra=after.extra)


def _abstract(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _not_finite(values: list[jax.Array]) -> jax.Array:
    """Which of some scalars aren't finite; side by side, so that it is one operation."""
    return ~jnp.isfinite(jnp.stack(values)) if values else jnp.zeros(0, bool)
