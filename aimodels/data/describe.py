"""Data sets in words: what the commands `aimodels data list` and `aimodels data show` print."""

from collections.abc import Iterable
from typing import Any

from aimodels.config import find
from aimodels.data import DATASETS, make
from aimodels.data.base import Dataset, Info
from aimodels.data.cache import cache_folder
from aimodels.data.pictures import save_samples_picture
from aimodels.data.pretrained import WEIGHTS, fetch_weights

__all__ = ["fetch", "list_text", "named", "save_samples_picture", "show_text"]

_SHOWN = ("train", "test")
_NUMBERS = (2, 3, 4)  # the columns that are set flush right


def named(name: str) -> Dataset:
    """The data set that a command names: `iris`, `package.module:Name`, `uci_regression:yacht`.

    The last is short for the config's `{"name": "uci_regression", "dataset": "yacht"}`: the field
    in which a set's variants differ.

    Raises:
      UserError: as `make`.
    """
    place, _, variant = name.partition(":")
    if not variant or place not in DATASETS:
        return make(name)
    cls: Any = find("data", place)
    field = next((field for fields in cls.presets() for field in fields), "dataset")
    return make(place, **{field: variant})


def fetch(name: str) -> str:
    """Brings a data set that a command names, or weights, onto this machine.

    Returns:
      A line that says where they came from.
    """
    return fetch_weights(name) if name in WEIGHTS else named(name).fetch()


def list_text() -> str:
    """A table of the named data sets: task, sizes, classes, and whether they are here."""
    rows: list[tuple[str, ...]] = [("NAME", "TASK", "TRAIN", "TEST", "CLASSES", "READY")]
    anything = []
    for name in DATASETS:
        cls: Any = find("data", name)
        presets = cls.presets()
        if not presets:
            anything.append((name, _first_line(cls)))
        for fields in presets:
            dataset = make(name, **fields)
            rows.append(_row(":".join([name, *fields.values()]), dataset))
    lines = _aligned(rows)
    lines += ["", "and any set through:"]
    lines += [f"  {name:<8} {text}" for name, text in anything]
    lines += ["", "weights, fetched in the same way:"]
    lines += [f"  {name}  {about.title}" for name, about in WEIGHTS.items()]
    lines += ["", f"kept in {cache_folder()}; a set of your own is named package.module:Name"]
    return "\n".join(lines)


def show_text(name: str) -> str:
    """All that is known of a data set that a command names (see `named`).

    Raises:
      UserError: an unknown name, a field that the data set needs.
    """
    dataset = named(name)
    info: Info = dataset.info()
    facts = {
        "task": info.task,
        "batch": "; ".join(f"{field} {feature}" for field, feature in info.features.items()),
        "splits": ", ".join(f"{split} {size:,}" for split, size in info.splits.items()),
        "classes": "" if info.num_classes is None else str(info.num_classes),
        "names": ", ".join(info.class_names),
        "target": "" if info.target_mean is None else _target(info),
        "licence": info.licence,
        "cite": info.citation,
        "source": info.source,
        "how": info.how,
        "note": info.notes,
        "ready": "yes" if dataset.is_ready() else f"no; get it with: aimodels data fetch {name}",
    }
    lines = [info.title, ""]
    lines += [f"  {key:<9} {value}" for key, value in facts.items() if value]
    return "\n".join(lines)


def _row(name: str, dataset: Dataset) -> tuple[str, ...]:
    info = dataset.info()
    sizes = [f"{info.splits[split]:,}" if split in info.splits else "?" for split in _SHOWN]
    ready = "yes" if dataset.is_ready() else f"aimodels data fetch {name}"
    return name, info.task, *sizes, str(info.num_classes or "-"), ready


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(_cells(row, widths)).rstrip() for row in rows]


def _cells(row: tuple[str, ...], widths: list[int]) -> Iterable[str]:
    for column, (text, width) in enumerate(zip(row, widths, strict=True)):
        yield text.rjust(width) if column in _NUMBERS else text.ljust(width)


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def _target(info: Info) -> str:
    return f"value in the data's unit = target x {info.target_std:.6g} + {info.target_mean:.6g}"
