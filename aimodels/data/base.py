"""What every data set tells and does."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from aimodels.data import splits
from aimodels.data.source import Concatenated, Source, Subset


@dataclasses.dataclass(frozen=True)
class Feature:
    """One field of a batch, without the batch axis."""

    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"[{', '.join(filter(None, ['B', sizes]))}] {self.dtype}"


@dataclasses.dataclass(frozen=True)
class Info:
    """What is known of a data set. Facts in it need no data on disk, except where it says so.

    Attributes:
      name: short name.
      title: one line that says what it is.
      task: what its targets are for.
      features: batch field -> shape and type.
      splits: named split -> number of examples; empty if only the data can tell.
      num_classes: None for regression, or if only the data can tell.
      class_names: one a class, or empty.
      licence: as its publisher states it.
      citation: the paper or person to cite.
      source: where the data come from.
      how: how they get onto this machine.
      notes: what a reader of a result must know, e.g. that a split is our own.
      target_mean: targets in the unit of the data are `targets * target_std + target_mean`. None
        for classes, and for a regression set whose data are not there yet.
      target_std: see `target_mean`.
    """

    name: str
    title: str
    task: Literal[
        "classification",
        "regression",
        "detection",
        "segmentation",
        "sequence modelling",
        "translation",
        "question answering",
        "pre-training",
        "word vectors",
        "unknown",
    ]
    features: Mapping[str, Feature]
    splits: Mapping[str, int]
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    licence: str = ""
    citation: str = ""
    source: str = ""
    how: str = ""
    notes: str = ""
    target_mean: float | None = None
    target_std: float | None = None


class Dataset(abc.ABC):
    """A data set: facts, files, splits.

    Its constructor's arguments are the fields of a config's `data` section. Batches have `inputs`
    [B, ...] and `targets`: [B] int32 for classes, [B] or [B, D] float32 for regression.
    """

    @abc.abstractmethod
    def info(self) -> Info:
        """The facts. Cheap, and never fetches."""

    @abc.abstractmethod
    def load_whole(self, split: str) -> Source:
        """A whole named split, one of `info().splits`.

        Raises:
          UserError: the files are not there or damaged; the message has the command that helps.
        """

    def is_ready(self) -> bool:
        """Whether `load` works without a fetch. Looks at file names and sizes only."""
        return True

    def fetch(self) -> str:
        """Bring the data onto this machine and check them; mends damaged files.

        Returns:
          A line that says where they came from.

        Raises:
          UserError: no way to get them works; the message lists what was tried.
        """
        return "nothing to fetch"

    def load(self, split: str) -> Source:
        """The examples of a split such as `train`, `train[:90%]` or `train+test`.

        Raises:
          UserError: as `splits.select` and `load_whole`.
        """
        return select_parts(split, self.info(), self.load_whole)

    def files(self) -> Mapping[str, str]:
        """What a run keeps of it in its work folder, by name: a tokenizer. Reads the data."""
        return {}

    @classmethod
    def presets(cls) -> tuple[dict[str, Any], ...]:
        """Constructor arguments of the variants that a listing shows, which differ in one field."""
        return ({},)


def select_parts(split: str, info: Info, load_whole: Callable[[str], Source]) -> Source:
    """`split` put together of whole splits, slices and sums."""
    splits.select(split, info.splits, info.name)  # mistakes are told before anything is read
    names = dict.fromkeys(piece.name for piece in splits.parse(split))
    wholes = {name: load_whole(name) for name in names}
    sizes = {name: len(source) for name, source in wholes.items()}
    parts = [
        wholes[name] if len(chosen) == sizes[name] else Subset(wholes[name], chosen)
        for name, chosen in splits.select(split, sizes, info.name)
    ]
    return parts[0] if len(parts) == 1 else Concatenated(parts)
