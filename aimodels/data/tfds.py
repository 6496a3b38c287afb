"""TensorFlow Datasets by random access, without TensorFlow."""

import dataclasses
import importlib
import os
import re
import socket
import urllib.parse
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.fetching import SOCKET_TIMEOUT_SECONDS
from aimodels.data.image_files import middle_of
from aimodels.data.source import check_indices
from aimodels.errors import UserError, near, unknown

_OWN_BUILDER = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")
Fit = Literal["stretch", "crop"]


@dataclasses.dataclass(frozen=True)
class Known:
    """Facts of a set of images that can't be downloaded at will, for machines that lack it."""

    title: str
    channels: int
    num_classes: int
    splits: dict[str, int]


KNOWN = {
    "imagenet2012": Known(
        "ImageNet, the classification task of ILSVRC 2012",
        channels=3,
        num_classes=1000,
        splits={"train": 1_281_167, "validation": 50_000},
    )
}


class TfdsSource:
    """Examples of a prepared TFDS split, read and decoded when they are gathered."""

    def __init__(
        self,
        examples: Any,
        fields: dict[str, str],
        image_size: tuple[int, int] | None,
        image_fit: Fit = "stretch",
    ) -> None:
        self._examples = examples
        self._fields = fields
        self._image_size = image_size
        self._image_fit: Fit = image_fit

    def __len__(self) -> int:
        return len(self._examples)

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices` [B]: field -> array [B, ...].

        Raises:
          UserError: examples of different shapes, which can't be one batch.
        """
        indices = check_indices(indices, len(self))
        examples = self._examples.__getitems__([int(index) for index in indices])
        return {name: self._stack(field, examples) for name, field in self._fields.items()}

    def _stack(self, field: str, examples: list[dict[str, Any]]) -> np.ndarray:
        values = [np.asarray(example[field]) for example in examples]
        if self._image_size is not None and values and values[0].ndim == 3:
            values = [_resized(value, self._image_size, self._image_fit) for value in values]
        shapes = {value.shape for value in values}
        if len(shapes) > 1:
            raise UserError(
                f"the TFDS feature {field!r} has examples of different shapes, such as "
                f"{sorted(shapes)[:2]}; for images set data.image_size, e.g. (224, 224)"
            )
        stacked = np.stack(values) if values else np.zeros((0,))
        if stacked.dtype == np.float64:
            return stacked.astype(np.float32)
        return stacked.astype(np.int32) if stacked.dtype == np.int64 else stacked


@dataclasses.dataclass(frozen=True)
class Tfds(Dataset):
    """A data set of TensorFlow Datasets, prepared as ArrayRecord.

    It is looked for in `data_dir`, else `TFDS_DATA_DIR`, else `~/tensorflow_datasets`; nothing is
    downloaded but by `aimodels data fetch tfds:NAME`.

    Attributes:
      dataset: TFDS's name, with a config or version if need be (`cifar10`, `glue/sst2`,
        `cifar10:3.0.2`), or `package.module:Builder` for a builder of your own.
      inputs: the feature that becomes `inputs`.
      targets: the feature that becomes `targets`; None if there is none.
      image_size: (height, width) to which images are scaled (bilinear), for sets of images of
        different sizes.
      image_fit: `stretch` scales both sides as they need; `crop` scales until the image covers
        the size, and takes its middle (for a square: the shorter side, as on ImageNet).
      data_dir: TFDS's folder.
    """

    kind: ClassVar[str] = "tfds"  # its name in a config

    dataset: str
    inputs: str = "image"
    targets: str | None = "label"
    image_size: tuple[int, int] | None = None
    image_fit: Fit = "stretch"
    data_dir: str | None = None

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """None: TFDS has hundreds."""
        return ()

    def info(self) -> Info:
        """The facts that the prepared folder holds; without one, the name and what is `KNOWN`."""
        builder = self._prepared()
        if builder is None:
            return self._info_of_absent()
        facts, fields = builder.info, self._fields(builder)
        label = facts.features[self.targets] if self.targets else None
        num_classes = getattr(label, "num_classes", None)
        names = tuple(label.names) if num_classes else ()  # pyright: ignore
        return Info(
            name=f"tfds:{self.dataset}",
            title=f"{facts.full_name} of TensorFlow Datasets",
            task="classification" if num_classes else "regression" if label else "unknown",
            features={name: self._feature(facts.features[field]) for name, field in fields.items()},
            splits={name: split.num_examples for name, split in facts.splits.items()},
            num_classes=num_classes,
            class_names=names,
            licence=facts.redistribution_info.license if facts.redistribution_info else "",
            citation=facts.citation or "",
            source=facts.homepage or "tensorflow.org/datasets",
            how=self._command(),
            target_mean=0.0 if label and not num_classes else None,
            target_std=1.0 if label and not num_classes else None,
        )

    def _info_of_absent(self) -> Info:
        known = KNOWN.get(self.dataset.partition(":")[0])
        features, task = {}, "unknown"
        if known and (self.inputs, self.targets) == ("image", "label"):
            task = "classification"
            if self.image_size is not None:
                shape = (*self.image_size, known.channels)
                features = {"inputs": Feature(shape, "uint8"), "targets": Feature((), "int32")}
        title = known.title if known else f"{self.dataset} of TensorFlow Datasets"
        return Info(
            name=f"tfds:{self.dataset}",
            title=f"{title} (not prepared here)",
            task=task,
            features=features,
            splits=known.splits if known else {},
            num_classes=known.num_classes if known else None,
            source="tensorflow.org/datasets",
            how=self._command(),
        )

    def is_ready(self) -> bool:
        """Whether the set is prepared on this machine."""
        return self._prepared() is not None

    def load_whole(self, split: str) -> TfdsSource:
        """A whole split."""
        builder = self._builder()
        try:
            examples = builder.as_data_source(split=split)
        except NotImplementedError as error:
            raise UserError(
                f"data set 'tfds:{self.dataset}' is prepared in {builder.data_dir} in the format "
                f"{builder.info.file_format.value}, which has no random access; give another "
                "folder as data.data_dir or TFDS_DATA_DIR, and prepare it there with: "
                f"{self._command()}"
            ) from error
        return TfdsSource(examples, self._fields(builder), self.image_size, self.image_fit)

    def load(self, split: str) -> Any:
        """The examples of a split such as `train`, `train[:90%]` or `train+test`."""
        self._builder()
        return super().load(split)

    def fetch(self) -> str:
        """Download and prepare it as ArrayRecord."""
        if self.is_ready():
            return f"{self.dataset} is prepared in {self._builder().data_dir}"
        import tensorflow_datasets

        try:
            own = self._own_builder()
            options: dict[str, Any] = {
                "data_dir": str(self._folder()),
                "file_format": "array_record",
            }
            builder: Any = (
                own(**options) if own else tensorflow_datasets.builder(self.dataset, **options)
            )
        except (ValueError, ImportError, AttributeError) as error:
            if isinstance(error, tensorflow_datasets.core.DatasetNotFoundError):
                names = tensorflow_datasets.list_builders(with_community_datasets=False)
                close = " or ".join(repr(name) for name in near(self.dataset, names))
                hint = f"Did you mean {close}?" if close else "tensorflow.org/datasets has a list."
                raise UserError(f"unknown TFDS data set {self.dataset!r}. {hint}") from None
            raise UserError(f"data set 'tfds:{self.dataset}' can't be built: {error}") from error
        # TFDS itself tries again for minutes where there is no network.
        for host in {urllib.parse.urlparse(url).netloc for url in builder.url_infos or ()}:
            _check_reachable(host, self.dataset)
        try:
            builder.download_and_prepare()
        except Exception as error:  # a builder runs anybody's code
            raise UserError(
                f"data set 'tfds:{self.dataset}' can't be prepared: {type(error).__name__}: {error}"
            ) from error
        return f"prepared by TFDS in {builder.data_dir}"

    def _folder(self) -> Path:
        named = self.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        return Path(named).expanduser()

    def _command(self) -> str:
        prefix = f"TFDS_DATA_DIR={self.data_dir} " if self.data_dir else ""
        return f"{prefix}aimodels data fetch {self.kind}:{self.dataset}"

    def _own_builder(self) -> Any:
        match = _OWN_BUILDER.fullmatch(self.dataset)
        if match is None:
            return None
        return getattr(importlib.import_module(match["module"]), match["name"])

    def _prepared(self) -> Any:
        """The builder of the prepared folder, or None; looks at this machine's files only."""
        import tensorflow_datasets
        from tensorflow_datasets.core import read_only_builder

        try:
            own = self._own_builder()
            return read_only_builder.builder_from_files(
                own.name if own else self.dataset, data_dir=str(self._folder())
            )
        except tensorflow_datasets.core.DatasetNotFoundError:
            return None
        except (ImportError, AttributeError) as error:
            raise UserError(f"data set 'tfds:{self.dataset}' can't be built: {error}") from error

    def _builder(self) -> Any:
        builder = self._prepared()
        if builder is None:
            raise UserError(
                f"data set 'tfds:{self.dataset}' is not prepared in {self._folder()}; get it with: "
                f"{self._command()}"
            )
        return builder

    def _fields(self, builder: Any) -> dict[str, str]:
        fields = {"inputs": self.inputs} | ({"targets": self.targets} if self.targets else {})
        for name, feature in fields.items():
            if feature not in builder.info.features:
                error = unknown(f"feature of {self.dataset}", feature, builder.info.features)
                raise UserError(f"data.{name}: {error}")
        return fields

    def _feature(self, feature: Any) -> Feature:
        shape = tuple(feature.shape)
        if self.image_size is not None and len(shape) == 3:
            shape = (*self.image_size, shape[-1])
        dtype = np.dtype(feature.np_dtype).name
        return Feature(shape, {"int64": "int32", "float64": "float32"}.get(dtype, dtype))


def _resized(image: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """A uint8 image [H, W, C] scaled to `size` (height, width), bilinear."""
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if fit == "crop":
        picture = middle_of(picture, size)
    else:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(*size, image.shape[-1])


def _check_reachable(host: str, dataset: str) -> None:
    name, _, port = host.partition(":")
    try:
        with socket.create_connection((name, int(port or 443)), SOCKET_TIMEOUT_SECONDS):
            pass
    except OSError as error:
        raise UserError(
            f"data set 'tfds:{dataset}' can't be downloaded: {name}: {error}. Connect to the "
            "network, or copy a folder that TFDS prepared as array_record and set TFDS_DATA_DIR"
        ) from error
