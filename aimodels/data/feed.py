"""Which examples a step sees, and how they get to the device.

The examples of a step are a function of (seed, step) alone: an endless row of permutations of the
training set is cut into batches. Nothing about it is saved, so nothing can be lost, and the number
of devices, workers or steps in a dispatch does not change it.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from aimodels.data.source import ArraySource, Source, held
from aimodels.errors import UserError

Batch = dict[str, Any]

# Batches that are sorted by length together: few, and they differ in length; many, and always the
# same examples would be in a batch.
POOL = 100


@functools.lru_cache(maxsize=64)
def permutation(size: int, seed: int, epoch: int) -> np.ndarray:
    """The order of `size` examples in an epoch, int32 [size]."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(size).astype(np.int32)


@functools.lru_cache(maxsize=64)
def permutation_by_length(lengths: bytes, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch in which a batch has examples of like lengths, int32 [size].

    `permutation` is cut into pools of 100 batches; each pool is sorted by length and cut into
    batches, and these come in an order that is drawn. Batches that two epochs share are the
    exception: there is one an epoch.

    Args:
      lengths: of the examples, the bytes of an int32 array (which can be a key of the cache).
      batch_size: B.
      seed: decides the order.
      epoch: from 0.
    """
    of_example = np.frombuffer(lengths, np.int32)
    order = permutation(len(of_example), seed, epoch)
    # Where batches begin is decided by the epochs before: the first may have begun there.
    head = -epoch * len(order) % batch_size
    whole = order[head : head + (len(order) - head) // batch_size * batch_size]
    pools = np.split(whole, np.arange(POOL * batch_size, len(whole), POOL * batch_size))
    ranked = [pool[np.argsort(of_example[pool], kind="stable")] for pool in pools]
    batches = np.concatenate(ranked).reshape(-1, batch_size)
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=1 << 128))
    batches = batches[generator.permutation(len(batches))].reshape(-1)
    return np.concatenate([order[:head], batches, order[head + len(whole) :]])


def batch_indices(
    size: int,
    batch_size: int,
    order: str,
    seed: int,
    start: int,
    steps: int,
    lengths: bytes = b"",
) -> np.ndarray:
    """The examples of steps `start` to `start + steps`, int32 [steps, batch_size].

    Each epoch has every example exactly once; a batch that reaches past the end of an epoch takes
    its last examples from the next one, so no example is left out.

    Args:
      size: examples in the training set.
      batch_size: B.
      order: `shuffled` (a new permutation for each epoch), `by_length` (the same, but a batch has
        examples of like lengths) or `cyclic` (0, 1, 2, ...).
      seed: decides the permutations.
      start: first step.
      steps: how many.
      lengths: for `by_length`, see `permutation_by_length`.
    """
    positions = np.arange(start * batch_size, (start + steps) * batch_size, dtype=np.int64)
    epochs, offsets = np.divmod(positions, size)
    if order == "cyclic":
        return offsets.astype(np.int32).reshape(steps, batch_size)
    indices = np.empty(len(positions), np.int32)
    for epoch in range(epochs[0], epochs[-1] + 1) if steps else ():
        here = epochs == epoch
        if order == "by_length":
            of_epoch = permutation_by_length(lengths, batch_size, seed, int(epoch))
        else:
            of_epoch = permutation(size, seed, int(epoch))
        indices[here] = of_epoch[offsets[here]]
    return indices.reshape(steps, batch_size)


class Feed(Protocol):
    """Gives the compiled step its batches.

    Attributes:
      arrays: lives on the device for the whole run; an argument of the compiled step.
      per_replica: whether `arrays` has a leading replica axis.
    """

    arrays: Any
    per_replica: bool

    def chunk(self, start: int, steps: int, capacity: int) -> Any:
        """What `gather` needs of steps `start` on: leaves [R, capacity, ...], `steps` of them."""
        ...

    def gather(self, arrays: Any, item: Any) -> Batch:
        """The batch of one step and one replica, from `arrays` and its part of a chunk."""
        ...


class EmptyFeed:
    """For tasks that make their own data: every batch is empty."""

    arrays: Any = ()
    per_replica = False

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas

    def chunk(self, start: int, steps: int, capacity: int) -> np.ndarray:
        """Indices of no examples, [R, capacity, 0]."""
        return np.zeros((self._replicas, capacity, 0), np.int32)

    def gather(self, arrays: Any, item: Any) -> Batch:
        """An empty batch."""
        return {}


class _IndexedFeed:
    def __init__(
        self, sources: Sequence[Source], seeds: Sequence[int], batch_size: int, order: str
    ) -> None:
        self._sources, self._seeds = tuple(sources), tuple(seeds)
        self._size, self._batch_size, self._order = len(sources[0]), batch_size, order
        lengths = [_lengths(source) if order == "by_length" else b"" for source in sources]
        self._lengths = lengths * (len(seeds) if len(sources) == 1 else 1)

    def indices(self, start: int, steps: int) -> np.ndarray:
        """[R, steps, B]."""
        fixed = (self._size, self._batch_size, self._order)
        return np.stack(
            [
                batch_indices(*fixed, seed, start, steps, lengths)
                for seed, lengths in zip(self._seeds, self._lengths, strict=True)
            ]
        )


class DeviceFeed(_IndexedFeed):
    """The whole training set on the device; a chunk is only the indices into it.

    Args:
      sources: one for all replicas, or one a replica (then all of one length).
      seeds: one a replica.
      batch_size: examples a step.
      order: `shuffled`, `by_length` or `cyclic`.
      put: brings a tree of host arrays onto the device(s).
    """

    def __init__(
        self,
        sources: Sequence[Source],
        seeds: Sequence[int],
        batch_size: int,
        order: str,
        put: Callable[[Any], Any],
    ) -> None:
        super().__init__(sources, seeds, batch_size, order)
        self.per_replica = len(sources) > 1
        everything = [held(source) for source in sources]
        self._pick = everything[0].pick
        arrays = [source.arrays for source in everything]
        self.arrays = put(stack(arrays) if self.per_replica else arrays[0])

    def chunk(self, start: int, steps: int, capacity: int) -> np.ndarray:
        """The indices themselves: cheaper made here than handed over by a thread."""
        return self.indices(start, capacity)

    def gather(self, arrays: Any, item: Any) -> Batch:
        """Picks the examples `item` [B] out of the arrays, inside the compiled step."""
        return self._pick(arrays, item)


class HostFeed(_IndexedFeed):
    """Batches gathered on the host by the same indices as `DeviceFeed`, one chunk ahead.

    Args:
      sources: one for all replicas, or one a replica (then all of one length).
      seeds: one a replica.
      batch_size: examples a step.
      order: `shuffled`, `by_length` or `cyclic`.
      put_batches: the shape (R, steps, B) of what is wanted, and a function that gathers a part of
        it, named by slices -> the whole, where the compiled step wants it.
    """

    arrays: Any = ()
    per_replica = False

    def __init__(
        self,
        sources: Sequence[Source],
        seeds: Sequence[int],
        batch_size: int,
        order: str,
        put_batches: Callable[[tuple[int, ...], Callable[[tuple], Batch]], Batch],
    ) -> None:
        super().__init__(sources, seeds, batch_size, order)
        self._put_batches = put_batches
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._ahead: tuple[tuple[int, int], Future] | None = None

    def chunk(self, start: int, steps: int, capacity: int) -> Any:
        """The chunk from the prefetching worker, which goes on with the one that follows."""
        ahead = self._ahead
        if ahead is not None and ahead[0] == (start, capacity):
            result = ahead[1].result()
        else:
            result = self._make(start, capacity)
        following = (start + steps, capacity)
        self._ahead = (following, self._worker.submit(self._make, *following))
        return result

    def _make(self, start: int, steps: int) -> Batch:
        sources = self._sources * (len(self._seeds) if len(self._sources) == 1 else 1)
        everything = self.indices(start, steps)

        def gather(at: tuple) -> Batch:
            batches = []
            for source, indices in zip(sources[at[0]], everything[at], strict=True):
                flat = source.gather(indices.reshape(-1))
                shape = indices.shape
                batches.append({k: v.reshape(*shape, *v.shape[1:]) for k, v in flat.items()})
            return stack(batches)

        return self._put_batches(everything.shape, gather)

    def gather(self, arrays: Any, item: Any) -> Batch:
        """The batch itself."""
        return dict(item)


def _lengths(source: Source) -> bytes:
    """The lengths of all examples."""
    everything = source.gather(np.arange(len(source)))
    if "lengths" not in everything:
        raise UserError(
            "config.training.order is 'by_length', and the data have no lengths; "
            "it takes 'shuffled' or 'cyclic' there"
        )
    lengths = np.asarray(everything["lengths"], np.int32)
    if "target_lengths" in everything:  # a batch is as long as the longer of both
        lengths = np.maximum(lengths, np.asarray(everything["target_lengths"], np.int32))
    return lengths.tobytes()


def stack(trees: Sequence[Batch]) -> Batch:
    """Dicts of arrays as one dict with a new leading axis."""
    return {name: np.stack([tree[name] for tree in trees]) for name in trees[0]}


def size_in_bytes(source: Source) -> int:
    """What the whole source takes in memory, where it isn't there yet from its first example."""
    if isinstance(source, ArraySource):
        return sum(array.nbytes for array in source.arrays.values())
    first = source.gather(np.arange(1))
    return sum(np.asarray(array).nbytes for array in first.values()) * len(source)


def device_budget(device: Any) -> int:
    """Bytes of training data that a device may hold: a quarter of its memory."""
    statistics = device.memory_stats() or {}
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return statistics.get("bytes_limit", physical) // 4
