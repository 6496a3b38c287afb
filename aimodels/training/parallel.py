"""Where arrays live: a mesh of devices, and rules that divide parameters over it."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from aimodels.config import Config
from aimodels.errors import UserError
from aimodels.training.layouts import ReadyMade, Rules, axes_of
from aimodels.training.processes import several


def path_of(path: tuple) -> str:
    """A leaf's path in a tree, joined with "/": `params/Dense_0/kernel`."""
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)


# XLA's CPU backend hands these to the YNNPACK library; by default convolutions too, which it runs
# on one thread (jax 0.10.2): a step of the Fashion-MNIST CNN took 147 ms so, and 104 without. Its
# reductions make a ResNet-18 twice as fast; in a pool of one thread they wait for ever.
_YNNPACK_ON_ONE_THREAD = ("INDIVIDUAL_DOT",)
_YNNPACK = (*_YNNPACK_ON_ONE_THREAD, "REDUCE")


@functools.cache
def compiler_options() -> dict[str, str] | None:
    """What the compilation of training and evaluation steps is told, where this JAX takes it."""
    threads = int(os.environ.get("NPROC", cores()))
    handed_over = _YNNPACK if threads > 1 else _YNNPACK_ON_ONE_THREAD
    kinds = ",".join(f"LIBRARY_FUSION_TYPE_{kind}" for kind in handed_over)
    options = {"xla_cpu_experimental_ynn_fusion_type": kinds}
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0).compile()
    except jax.errors.JaxRuntimeError:  # another version's names
        return None
    return options


class Layout:
    """A mesh with axes `replica`, `data` and `model`, and what goes where on it.

    On a mesh of one device nothing is annotated, so that the program is the plain one.

    Args:
      data: devices over which batches are divided.
      model: devices over which parameters can be divided.
      rules: how parameters are divided, see `aimodels.training.layouts`. Paths are matched at
        their ends, so that `kernel` also divides the optimizer's moments of kernels.
      replica: devices over which replicas are divided.
      pmap: steps go through `jax.pmap` over the data axis.
    """

    def __init__(
        self,
        data: int = 1,
        model: int = 1,
        rules: Rules | ReadyMade = (),
        replica: int = 1,
        pmap: bool = False,
    ) -> None:
        available = jax.devices()
        self.devices = replica * data * model
        if self.devices > len(available):
            raise UserError(
                f"config.parallel: replica={replica} x data={data} x model={model} needs "
                f"{self.devices} devices, {len(available)} {available[0].platform} device(s) found"
            )
        self._rules: Rules | ReadyMade = rules
        self.axis = "data" if pmap and data > 1 else None
        self._divides_batches = data * model > 1 and not self.axis  # pmap hands out their parts
        self._divides_replicas = replica > 1
        self.mesh: Mesh | None = None
        if self.devices > 1:
            self.mesh = jax.make_mesh(
                (replica, data, model),
                ("replica", "data", "model"),
                axis_types=(AxisType.Auto,) * 3,
                devices=available[: self.devices],
            )

    def _spec(self, path: str, shape: tuple[int, ...]) -> P:
        assert self.mesh is not None
        axes = axes_of(self._rules, path, shape[1:], self.mesh.shape)
        return P("replica", *axes) if any(axes) else P("replica")

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

    def put(self, tree: Any, per_replica: bool = False) -> Any:
        """Host arrays as device arrays, a copy on every device of the mesh.

        Args:
          tree: host arrays.
          per_replica: they have a leading replica axis, which is divided.
        """
        if self.mesh is None:
            return jax.tree.map(jnp.asarray, tree)
        sharding = NamedSharding(self.mesh, P("replica" if per_replica else None))
        if several():  # `device_put` would first compare what the processes have
            place = lambda x: jax.make_array_from_callback(x.shape, sharding, lambda at: x[at])  # noqa: E731
            return jax.tree.map(place, tree)
        return jax.device_put(tree, sharding)

    @property
    def batch_sharding(self) -> NamedSharding | None:
        """Of batches that the host gathers, [R, steps, B, ...]; None on a single device."""
        return NamedSharding(self.mesh, P("replica", None, "data")) if self.mesh else None

    def put_batches(self, shape: tuple[int, ...], gather: Callable[[tuple], Any]) -> Any:
        """Batches of which each device gets its own examples, and no process reads those of others.

        Args:
          shape: (R, steps, B).
          gather: slices of these three axes -> that part as a dict of host arrays.
        """
        sharding = self.batch_sharding
        if sharding is None or self.axis:
            return gather((slice(None),) * len(shape))
        parts: dict[str, Any] = {}  # devices along `model` have the same
        shards: dict[str, list[jax.Array]] = {}
        for device, at in sharding.addressable_devices_indices_map(shape).items():
            assert at is not None
            if str(at) not in parts:
                parts[str(at)] = gather(at)
            for name, array in parts[str(at)].items():
                shards.setdefault(name, []).append(jax.device_put(array, device))
        return {
            name: jax.make_array_from_single_device_arrays(
                (*shape, *arrays[0].shape[len(shape) :]), sharding, arrays
            )
            for name, arrays in shards.items()
        }

    def constrain_batch(self, batch: Any, axis: int = 0) -> Any:
        """Divides a batch over the data axis, inside a compiled function.

        Args:
          batch: any tree of arrays [B, ...].
          axis: where B is.
        """
        if not self._divides_batches:
            return batch
        # Under `over_replicas` the mesh is the one that is left for each replica.
        mesh = jax.sharding.get_abstract_mesh() if self._divides_replicas else self.mesh
        sharding = NamedSharding(mesh, P(*(None,) * axis, "data"))  # type: ignore[arg-type]
        return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, sharding), batch)

    @property
    def divide(self) -> Callable[[Any, int], Any] | None:
        """`constrain_batch`, None where it does nothing."""
        return self.constrain_batch if self._divides_batches else None

    def parts(self, items: Any) -> Any:
        """Chunks of a feed, [R, steps, B, ...], as the step takes them: see `jit_step`."""
        if not self.axis or self.mesh is None:
            return items
        devices = self.mesh.shape[self.axis]
        return jax.tree.map(lambda x: x.reshape(*x.shape[:2], devices, -1, *x.shape[3:]), items)

    def over_replicas(self, function: Callable, per_replica: Sequence[bool]) -> Callable:
        """Each device runs `function` for its own replicas: nothing is communicated.

        Args:
          function: all that it returns has a leading replica axis.
          per_replica: which of its arguments have one too; the others are for all replicas.
        """
        if not self._divides_replicas:
            return function
        mesh: Any = self.mesh
        # Where no other axis divides anything, all are named: only then can steps call the host.
        alone = mesh.shape["replica"] == self.devices
        return jax.shard_map(
            function,
            mesh=mesh,
            in_specs=tuple(P("replica") if each else P() for each in per_replica),
            out_specs=P("replica"),
            axis_names=set(mesh.axis_names) if alone else {"replica"},
            check_vma=False,
        )

    def jit_step(self, function: Callable, state: Any) -> Any:
        """`jax.jit` of (state, ...) -> (state, report); the state is donated and keeps its layout.

        Under `pmap` each device has a copy of the state, and its part of the items.

        Args:
          function: the step: (state, runs, active, arrays, items, start, steps).
          state: abstract, with shardings.
        """
        if self.axis and self.mesh is not None:
            return jax.pmap(
                function,
                axis_name=self.axis,
                in_axes=(None, None, None, None, 2, None, None),
                out_axes=None,  # type: ignore[arg-type]
                devices=list(self.mesh.devices.flat),
            )
        shardings = None
        if self.mesh is not None:
            shardings = jax.tree.map(lambda leaf: leaf.sharding, state), self.everywhere
        return jax.jit(
            function,
            donate_argnums=0,
            compiler_options=compiler_options(),
            out_shardings=shardings,
        )

    @property
    def everywhere(self) -> NamedSharding | None:
        """For what every process reads: a copy on each device; None where there is one process."""
        return NamedSharding(self.mesh, P()) if several() and self.mesh is not None else None


def make_layout(config: Config) -> Layout:
    """The layout of a resolved config; replicas go over as many devices as divide them."""
    parallel, replicas = config.parallel, len(config.replicas.seeds)
    each = parallel.data * parallel.model
    replica = parallel.replica or largest_divisor(replicas, len(jax.devices()) // each)
    pmap = parallel.strategy == "pmap"
    if pmap:
        replica = 1
        if parallel.model > 1 or parallel.replica > 1 or parallel.rules or several():
            raise UserError(
                "config.parallel.strategy: 'pmap' takes `data` alone, in one process; leave out "
                "replica, model and rules, or take 'jit'"
            )
    layout = Layout(parallel.data, parallel.model, parallel.rules, replica, pmap)
    if several() and layout.devices != len(jax.devices()):
        raise UserError(
            f"config.parallel: replica={replica} x data={parallel.data} x model={parallel.model} "
            f"takes {layout.devices} of the {len(jax.devices())} devices that "
            f"{jax.process_count()} processes have; several processes take all, e.g. "
            f"--config.parallel.data={len(jax.devices()) // (replica * parallel.model)}"
        )
    return layout


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def largest_divisor(number: int, limit: int) -> int:
    """The largest number up to the limit, at least 1, that divides a number."""
    return max(count for count in range(1, max(limit, 1) + 1) if number % count == 0)
