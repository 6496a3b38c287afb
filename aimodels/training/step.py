"""One compiled function of a task: steps in a dispatch, replicas, a mesh of devices."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aimodels.data.feed import Feed
from aimodels.modules.blocks import dividing
from aimodels.modules.convolution import vmapped
from aimodels.tasks.base import Batch, State, Task
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
        self._vmapped = plan.replicas == "vmap" and self.replicas > 1
        self._one_by_one = plan.replicas != "vmap" and self.replicas > 1
        self._runs = {
            "seed": jnp.asarray(seeds, jnp.uint32),
            "varied": {name: jnp.asarray(values) for name, values in varied.items()},
        }
        self._compiled: dict[Any, Callable] = {}

    # --- init ------------------------------------------------------------------------------------

    def _init(self, runs: Any, batch: Batch, batch_axis: int | None) -> State:
        def one(run: Any, batch: Batch) -> State:
            task = self._build_task(run["varied"])
            return task.init(step_key(run["seed"], "init", 0), batch)

        # A replica is initialised by itself: its weights do not depend on how many there are.
        return jax.vmap(one, in_axes=(0, batch_axis))(runs, batch)

    def abstract_state(self, batch: Batch) -> State:
        """Shapes, dtypes and shardings of the state, from an abstract batch of one replica."""
        shapes = jax.eval_shape(
            lambda runs, batch: self._init(runs, batch, None), self._runs, batch
        )
        return self._layout.place_abstract(shapes)

    def init(self, feed: Feed, target: State) -> State:
        """The state before the first step, initialised with the feed's first batch.

        Args:
          feed: gives the batch.
          target: what `abstract_state` said of it.
        """
        items = jax.tree.map(lambda x: x[:, 0], feed.chunk(0, 0, 1))

        def init(runs: Any, arrays: Any, items: Any) -> State:
            if feed.per_replica:
                return self._init(runs, jax.vmap(feed.gather)(arrays, items), 0)
            return self._init(runs, feed.gather(arrays, _pick(items, 0)), None)

        compiled = jax.jit(
            init,
            out_shardings=self._layout.shardings(target),
            compiler_options=_ONCE if jax.default_backend() == "cpu" else None,
        )
        return compiled(self._runs, feed.arrays, items)

    # --- steps -----------------------------------------------------------------------------------

    def run(self, state: State, feed: Feed, start: int, steps: int) -> tuple[State, StepReport]:
        """`steps` steps from `start` on, at most `plan.steps_per_dispatch`; `state` is donated."""
        items = feed.chunk(start, steps, self.plan.steps_per_dispatch)
        if "run" not in self._compiled:
            self.compile(feed, jax.tree.map(_abstract, state))
        run = self._compiled["run"]
        count = np.int32(steps)
        if not self._one_by_one:
            return _report(run(state, self._runs, feed.arrays, items, count))
        reports = []
        for replica in range(self.replicas):
            state, report = run(state, self._runs, feed.arrays, items, count, np.int32(replica))
            reports.append(report)
        return _report((state, _stacked(reports)))

    def compile(self, feed: Feed, state: State) -> Any:
        """Compiles `run` for a feed and an abstract state, while no state is there yet.

        Returns:
          The compiled program, to be asked for its costs.
        """
        items = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                (x.shape[0], self.plan.steps_per_dispatch, *x.shape[2:]), x.dtype
            ),
            feed.chunk(0, 0, 1),
        )
        arguments = [state, self._runs, feed.arrays, items, np.int32(0)]
        if self._one_by_one:
            arguments.append(np.int32(0))
        jitted = self._layout.jit_step(self._run_function(feed), state)
        compiled = self._compiled["run"] = jitted.lower(*arguments).compile()
        return compiled

    def _run_function(self, feed: Feed) -> Callable:
        """(states, runs, arrays, items, steps[, replica]) -> (states, report)."""
        data_axis = 0 if feed.per_replica else None

        def one(state: State, run: Any, arrays: Any, items: Any, steps: Any) -> tuple:
            """Some steps of one replica."""
            task = self._build_task(run["varied"])

            def step(index: Any, state: State) -> tuple[State, dict]:
                batch = feed.gather(arrays, _pick(items, index))
                batch = self._layout.constrain_batch(batch)
                with dividing(self._layout.constrain_batch):
                    return task.train_step(state, batch, step_key(run["seed"], "train", state.step))

            shapes = jax.eval_shape(step, 0, state)[1]
            checked = sorted(name for name in shapes if not hasattr(shapes[name], "compute"))

            def body(index: Any, carry: tuple) -> tuple:
                state, (_, failed_step, failed) = carry
                at = state.step + 1
                state, metrics = step(index, state)
                bad = _not_finite([metrics[name] for name in checked])
                first = bad.any() & (failed_step < 0)
                failed_step = jnp.where(first, at, failed_step)
                return state, (metrics, failed_step, jnp.where(first, bad, failed))

            nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
            carry = state, (nothing, jnp.int32(-1), jnp.zeros(len(checked), bool))
            # The trip count is an argument, so every chunk runs the same program whatever its
            # length, and where a run was interrupted can't change its bits.
            state, (metrics, failed_step, failed) = jax.lax.fori_loop(0, steps, body, carry)
            later = sorted(set(shapes) - set(checked))
            metrics |= {name: metrics[name].compute() for name in later}
            bad = _not_finite([metrics[name] for name in later])
            failed = dict(zip(checked + later, jnp.append(failed, bad), strict=True))
            failed_step = jnp.where(bad.any() & (failed_step < 0), state.step, failed_step)
            return state, (metrics, failed_step, failed)

        def all_replicas(state: Any, runs: Any, arrays: Any, items: Any, steps: Any) -> tuple:
            if self._vmapped:
                in_axes = (0, 0, data_axis, 0, None)
                with vmapped():
                    return jax.vmap(one, in_axes)(state, runs, arrays, items, steps)
            state, runs, items = _pick((state, runs, items), 0)
            arrays = _pick(arrays, 0) if feed.per_replica else arrays
            return jax.tree.map(lambda x: x[None], one(state, runs, arrays, items, steps))

        def one_of_many(
            states: Any, runs: Any, arrays: Any, items: Any, steps: Any, replica: Any
        ) -> tuple:
            state, runs, items = _pick((states, runs, items), replica)
            arrays = _pick(arrays, replica) if feed.per_replica else arrays
            state, report = one(state, runs, arrays, items, steps)
            return jax.tree.map(lambda x, new: x.at[replica].set(new), states, state), report

        return one_of_many if self._one_by_one else all_replicas

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
        evaluate = self._compiled[key]
        if self._vmapped:
            return evaluate(state, self._runs, batch, np.int32(step))
        replicas = map(np.int32, range(self.replicas))
        return _stacked([evaluate(state, self._runs, batch, np.int32(step), r) for r in replicas])

    def compile_eval(self, state: State, batch: Batch, per_replica: bool) -> Any:
        """Compiles `eval_step` for an abstract state and a batch; returns abstract metrics [R]."""
        arguments = [state, self._runs, batch, np.int32(0)]
        if not self._vmapped:
            arguments.append(np.int32(0))
        function = self._eval_function(per_replica, self._vmapped)
        lowered = jax.jit(function, compiler_options=compiler_options()).lower(*arguments)
        self._compiled[_eval_key(batch, per_replica)] = lowered.compile()
        if self._vmapped:
            return lowered.out_info
        add = lambda x: jax.ShapeDtypeStruct((self.replicas, *x.shape), x.dtype)  # noqa: E731
        return jax.tree.map(add, lowered.out_info)

    def _eval_function(self, per_replica: bool, together: bool) -> Callable:
        """(state, runs, batch, step) -> all collections; or, with `replica`, that one's."""

        def one(state: State, run: Any, batch: Batch, step: Any) -> Any:
            batch = self._layout.constrain_batch(batch)
            task = self._build_task(run["varied"])
            with dividing(self._layout.constrain_batch):
                return task.eval_step(state, batch, step_key(run["seed"], "eval", step))

        def all_replicas(state: State, runs: Any, batch: Batch, step: Any) -> Any:
            axes = (0, 0, 0 if per_replica else None, None)
            with vmapped():
                return jax.vmap(one, axes)(state, runs, batch, step)

        def one_of_many(state: State, runs: Any, batch: Batch, step: Any, replica: Any) -> Any:
            state, runs = _pick((state, runs), replica)
            return one(state, runs, _pick(batch, replica) if per_replica else batch, step)

        return all_replicas if together else one_of_many

    def abstract_metrics(self, state: Any, batch: Batch, per_replica: bool) -> Any:
        """The evaluation's metrics of one replica, in shapes alone, to learn their names."""
        function = self._eval_function(per_replica, together=False)
        return jax.eval_shape(function, state, self._runs, batch, np.int32(0), np.int32(0))


def _eval_key(batch: Batch, per_replica: bool) -> tuple:
    return ("evaluate", per_replica, batch["mask"].shape)


def _pick(tree: Any, index: Any) -> Any:
    """One entry of the leading axis of every leaf."""
    return jax.tree.map(lambda x: x[index], tree)


def _abstract(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _not_finite(values: list[jax.Array]) -> jax.Array:
    """Which of some scalars aren't finite; side by side, so that it is one operation."""
    return ~jnp.isfinite(jnp.stack(values)) if values else jnp.zeros(0, bool)


@jax.jit
def _stacked(trees: list[Any]) -> Any:
    """One tree of each replica -> one with a leading replica axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _report(result: tuple) -> tuple[State, StepReport]:
    state, (metrics, failed_step, failed) = result
    return state, StepReport(metrics, failed_step, failed)
