"""What a training step would need on devices that are not there.

A child process compiles the step for so many virtual devices, from shapes alone; nothing is
allocated and nothing is run. It is XLA's CPU backend that compiles, so figures are of the program
that it makes: other backends fuse more, and have one reduce-scatter where it has an all-reduce.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from aimodels.config import Config, plain, resolve, to_json
from aimodels.errors import UserError
from aimodels.training.hlo import collectives, operations
from aimodels.training.parallel import largest_divisor


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a step takes of each device.

    Attributes:
      mesh: devices along each axis.
      arguments: bytes of the state and the batch.
      outputs: bytes of what the step returns.
      donated: bytes of outputs that lie where arguments lay.
      temporaries: bytes that are needed in between, at their most.
      operations: in floating point, of matrix products and convolutions.
      collectives: kind -> (how many, bytes of their results).
    """

    mesh: dict[str, int]
    arguments: int
    outputs: int
    donated: int
    temporaries: int
    operations: int
    collectives: dict[str, tuple[int, int]]

    @property
    def memory(self) -> int:
        """Bytes in all."""
        return self.arguments + self.outputs - self.donated + self.temporaries


def for_devices(config: Config, devices: int) -> Config:
    """The config with a mesh of so many devices: what `model` and `replica` leave are `data`.

    Raises:
      UserError: the devices, or the batch, can't be divided so.
    """
    values = plain(config)
    parallel = values["parallel"]
    model = parallel["model"]
    replica = parallel["replica"] or largest_divisor(len(config.replicas.seeds), devices // model)
    if devices % (model * replica):
        axes = f"config.parallel.model={model}" + (
            f" x config.parallel.replica={replica}" if replica > 1 else ""
        )
        raise UserError(
            f"--devices={devices} is not divisible by {axes}; take a multiple of "
            f"{model * replica}, or another mesh"
        )
    parallel |= {"data": devices // (model * replica), "replica": replica, "strategy": "jit"}
    return resolve(values)


def estimate(config: Config, devices: int) -> Estimate:
    """Compiles the config's step for so many devices, in a child process.

    Args:
      config: the resolved config; see `for_devices` for what becomes of its mesh.
      devices: how many.

    Raises:
      UserError: as `for_devices`.
    """
    config = for_devices(config, devices)
    # The program is read, never run: it need not be optimized below the level of XLA.
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, "-m", "aimodels.training.estimate"],
        input=to_json(config),
        capture_output=True,
        text=True,
        env=os.environ
        | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "0"},
    )
    if done.returncode == UserError.exit_code:
        raise UserError(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(f"the step could not be compiled:\n{done.stderr}")
    fields = json.loads(done.stdout)
    kinds = {kind: (number, size) for kind, (number, size) in fields.pop("collectives").items()}
    return Estimate(**fields, collectives=kinds)


def estimate_text(found: Estimate) -> str:
    """The estimate as lines for people."""
    mesh = " x ".join(f"{axis}={size}" for axis, size in found.mesh.items())
    rows = [
        ("memory", _bytes(found.memory)),
        ("  state and batch", _bytes(found.arguments)),
        ("  temporaries", _bytes(found.temporaries)),
        ("  new outputs", _bytes(found.outputs - found.donated)),
        ("matrix products", f"{found.operations / 1e9:,.4g} GFLOP"),
        *(
            (f"{kind} x {number}", _bytes(size))
            for kind, (number, size) in found.collectives.items()
        ),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"a step on {mesh}, for each device (as XLA's CPU backend compiles it; nothing ran)"]
    return "\n".join(lines + [f"{name:{width}}  {text}" for name, text in rows])


def _bytes(size: float) -> str:
    return f"{size / 1e9:,.3f} GB" if size >= 1e9 else f"{size / 1e6:,.3f} MB"


# --- in the child -------------------------------------------------------------------------------


class _ShapesFeed:
    """A feed whose batches, as those of `HostFeed`, are arguments of the step: shapes alone."""

    arrays: Any = ()
    per_replica = False

    def __init__(self, batch: Mapping[str, Any], replicas: int, sharding: Any = None) -> None:
        self._batch, self._replicas, self._sharding = batch, replicas, sharding

    def chunk(self, start: int, steps: int, capacity: int) -> dict[str, Any]:
        """Abstract arrays [R, capacity, B, ...]."""
        import jax

        return {
            name: jax.ShapeDtypeStruct(
                (self._replicas, capacity, *leaf.shape), leaf.dtype, sharding=self._sharding
            )
            for name, leaf in self._batch.items()
        }

    def gather(self, arrays: Any, item: Any) -> dict[str, Any]:
        """The batch itself."""
        return dict(item)


def _compile(config: Config) -> Estimate:
    from aimodels.training.assembly import Assembly
    from aimodels.training.step import Plan

    assembly = Assembly(config)
    _, batch = assembly.abstract
    mode = "vmap" if config.replicas.mode == "vmap" else "sequential"
    program = assembly.program(Plan(1, mode))
    feed = _ShapesFeed(batch, len(config.replicas.seeds), assembly.layout.batch_sharding)
    compiled = program.compile(feed, program.abstract_state(batch))
    memory, text = compiled.memory_analysis(), compiled.as_text()
    mesh = assembly.layout.mesh
    return Estimate(
        mesh={"data": 1} if mesh is None else dict(mesh.shape),
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        donated=memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        operations=operations(text),
        collectives=collectives(text),
    )


def main() -> int:
    """Reads a config's JSON from standard input, prints the estimate's."""
    try:
        found = _compile(resolve(json.load(sys.stdin)))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(dataclasses.asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
