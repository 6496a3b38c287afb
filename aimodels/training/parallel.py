"""Where arrays live: a mesh of devices, and rules that divide parameters over it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from aimodels.errors import UserError
from aimodels.training.layouts import ReadyMade, Rules, axes_of


def path_of(path: tuple) -> str:
    """A leaf's path in a tree, joined with "/": `params/Dense_0/kernel`."""
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)


# XLA's CPU backend hands these to the YNNPACK library; by default convolutions too, which it runs
# on one thread (jax 0.10.2): a step of the Fashion-MNIST CNN took 147 ms so, and 104 without.
_YNNPACK = ("REDUCE", "INDIVIDUAL_DOT")


@functools.cache
def compiler_options() -> dict[str, str] | None:
    """What the compilation of training and evaluation steps is told, where this JAX takes it."""
    kinds = ",".join(f"LIBRARY_FUSION_TYPE_{kind}" for kind in _YNNPACK)
    options = {"xla_cpu_experimental_ynn_fusion_type": kinds}
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0).compile()
    except jax.errors.JaxRuntimeError:  # another version's names
        return None
    return options


class Layout:
    """A mesh with axes `data` and `model`, and what goes where on it.

    On a mesh of one device nothing is annotated, so that the program is the plain one.

    Args:
      data: devices over which batches are divided.
      model: devices over which parameters can be divided.
      rules: how parameters are divided, see `aimodels.training.layouts`. Paths are matched at
        their ends, so that `kernel` also divides the optimizer's moments of kernels.
    """

    def __init__(self, data: int = 1, model: int = 1, rules: Rules | ReadyMade = ()) -> None:
        available = jax.devices()
        if data * model > len(available):
            raise UserError(
                f"config.parallel: data={data} x model={model} needs {data * model} devices, "
                f"{len(available)} {available[0].platform} device(s) found"
            )
        self._rules: Rules | ReadyMade = rules
        self.mesh: Mesh | None = None
        if data * model > 1:
            self.mesh = jax.make_mesh(
                (data, model),
                ("data", "model"),
                axis_types=(AxisType.Auto, AxisType.Auto),
                devices=available[: data * model],
            )

    def _spec(self, path: str, shape: tuple[int, ...]) -> P:
        assert self.mesh is not None
        axes = axes_of(self._rules, path, shape[1:], self.mesh.shape)
        # The leading axis is that of the replicas.
        return P(None, *axes) if any(axes) else P()

    def shardings(self, state: Any) -> Any:
        """A sharding for each leaf of a (possibly abstract) state; None on a single device."""
        if self.mesh is None:
            return None
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: NamedSharding(self.mesh, self._spec(path_of(path), leaf.shape)),  # type: ignore
            state,
        )

    def place_abstract(self, state: Any) -> Any:
        """The abstract state with shardings, as a target to restore into."""
        if self.mesh is None:
            sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
            shardings = jax.tree.map(lambda _: sharding, state)
        else:
            shardings = self.shardings(state)
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            state,
            shardings,
        )

    def put(self, tree: Any) -> Any:
        """Host arrays as device arrays, a copy on every device of the mesh."""
        if self.mesh is None:
            return jax.tree.map(jnp.asarray, tree)
        return jax.device_put(tree, NamedSharding(self.mesh, P()))

    def constrain_batch(self, batch: Any, axis: int = 0) -> Any:
        """Divides a batch over the data axis, inside a compiled function.

        Args:
          batch: any tree of arrays [B, ...].
          axis: where B is.
        """
        if self.mesh is None:
            return batch
        sharding = NamedSharding(self.mesh, P(*(None,) * axis, "data"))
        return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, sharding), batch)

    def jit_step(self, function: Callable, state: Any) -> Any:
        """`jax.jit` of (state, ...) -> (state, report); the state is donated and keeps its layout.

        Args:
          function: the step.
          state: abstract, with shardings.
        """
        more = {}
        if self.mesh is not None:
            more["out_shardings"] = (jax.tree.map(lambda leaf: leaf.sharding, state), None)
        options = compiler_options()
        return jax.jit(function, donate_argnums=0, compiler_options=options, **more)
