"""Scenes composed of photo cut-outs over photographs, for detection and segmentation.

The cut-outs are Tux Paint's stamps, most of them photographs, whose transparency is an exact mask;
a class is a folder of them, or several. A quarter of what there is of each class, and some of the
photographs, are seen in the test part alone. Scene number i of a split is a pure function of
(split, i): see `scene_composition`.
"""

import dataclasses
import functools
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aimodels.data.base import Dataset, Info
from aimodels.data.cache import cache_folder, damaged, keep, missing, sha256_of_files
from aimodels.data.detection import detection_features
from aimodels.data.fetching import Files, WayError, debian_package, first_that_works
from aimodels.data.scene_composition import MOST_OBJECTS, SOLID, box_of, compose
from aimodels.data.source import check_indices
from aimodels.errors import UserError

# Part of the folder's name: a new recipe or other stamps never meet the old ones' scenes.
VERSION = 2
SPLITS = {"train": 10_000, "test": 1_000}
SEEDS = {"train": 1, "test": 2}
SHARD = 500  # scenes that are composed and kept together
LARGEST_STAMP = 160  # pixels of the longer side that is kept
LARGEST_PHOTO = 640  # of the shorter side

STAMPS_PACKAGE, STAMPS_FOLDER = "tuxpaint-stamps-default", "usr/share/tuxpaint/stamps"
# Packages of photographs -> their folders there.
PHOTOS_PACKAGES = {
    "mate-backgrounds": "usr/share/backgrounds/mate/nature",
    "lomiri-wallpapers-16.04": "usr/share/backgrounds",
}
SHA256 = "b7330724e34b520ab8b3a5233691ddf29ad697f663afed11f19f3e248e88d8d8"
# Class -> the folders of its stamps, without what lies below them. Each has some twenty or more: of
# fewer, the quarter for the test would be two or three things.
CLASSES: dict[str, tuple[str, ...]] = {
    "bird": ("animals/birds",),
    "mammal": (
        "animals/mammals",
        *(
            f"animals/mammals/{name}"
            for name in ("apes", "bears", "bovines", "camel", "cats", "deer", "dogs", "equines")
        ),
        "animals/mammals/rodents",
    ),
    "food": ("food/fruit", "food/vegetables", "food/nuts"),
    "flower": ("plants/flowers",),
    "coin": (
        "symbols/money/canadian/coins",
        "symbols/money/euro/coins",
        "symbols/money/japanese",
        "symbols/money/us/coins",
    ),
    "road sign": ("town/roadsigns",),
    "vehicle": (
        "military/vehicles",
        "vehicles",
        *(
            f"vehicles/{name}"
            for name in ("auto", "construction", "cycle", "emergency", "flight", "flight/planes")
        ),
        *(f"vehicles/{name}" for name in ("masstransit", "race", "ship")),
    ),
    "household": (
        "household",
        *(f"household/{name}" for name in ("arttools", "dishes", "dishes/utensils", "tools")),
    ),
}
# The photographs that show nothing of these classes; the last is scikit-learn's.
PHOTOS = {
    "test": ("Dune.jpg", "Storm.jpg", "Wood.jpg"),
    "train": (
        *("Aqua.jpg", "Blinds.jpg", "GreenMeadow.jpg", "RainDrops.jpg", "TwoWings.jpg"),
        "Bridge_by_Sander_Klootwijk.jpg",
        "Dragonfly_by_Bolly.jpg",
        "aitzgorri_by_Aitzol_Berasategi.jpg",
        "analogpattern_by_Peter_Nerlich.jpg",
        "life_by_Aitzol_Berasategi.jpg",
        "picosdeeuropa_by_Aitzol_Berasategi.jpg",
        "sunset_by_Aitzol_Berasategi.jpg",
        "china.jpg",
    ),
}


class Cutouts(NamedTuple):
    """What scenes of a split are made of: for each class its stamps, and photographs."""

    stamps: list[list[np.ndarray]]
    photos: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Scenes(Dataset):
    """Scenes of 1 to 8 objects: `inputs`, `boxes`, `labels`, `targets`: see `data.detection`.

    Attributes:
      size: the side of a scene in pixels.
    """

    size: int = 128

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 512:
            raise UserError(f"data.size is {self.size}; it takes 32 to 512 pixels")

    def info(self) -> Info:
        """The facts."""
        return Info(
            name="scenes",
            title="Scenes of photo cut-outs over photographs",
            task="detection",
            features=_features(self.size),
            splits=SPLITS,
            num_classes=len(CLASSES),
            class_names=tuple(CLASSES),
            licence="GPL-2 (Tux Paint's stamps), CC BY-SA and CC BY (photographs)",
            citation="stamps of Tux Paint (tuxpaint.org)",
            source=f"Debian's {', '.join([STAMPS_PACKAGE, *PHOTOS_PACKAGES])}; scikit-learn",
            how="composed on first use from three Debian packages (220 MB, of which 40 are kept)",
            notes="made by us: no published table uses it. Stamps and photographs of the test part "
            "are in no scene for training; targets are the pixels' classes + 1",
        )

    def is_ready(self) -> bool:
        """Whether the cut-outs are there."""
        return _cutouts_file().is_file()

    def load_whole(self, split: str) -> "SceneSource":
        """A whole split; scenes are composed when they are first asked for."""
        if not self.is_ready():
            raise missing("scenes", _cutouts_file())
        return SceneSource(split, self.size)

    def fetch(self) -> str:
        """Get stamps and photographs from Debian's packages, and keep what is used of them."""
        label = f"Debian's packages {', '.join([STAMPS_PACKAGE, *PHOTOS_PACKAGES])}"
        files, line = first_that_works("scenes", [(label, _from_debian)], _check)
        keep(_cutouts_file(), _packed(files))
        return line


class SceneSource:
    """The scenes of a split, composed and kept `SHARD` at a time."""

    def __init__(self, split: str, size: int) -> None:
        self._split, self._size = split, size

    def __len__(self) -> int:
        return SPLITS[self._split]

    def gather(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The scenes at `indices` [B]."""
        indices = check_indices(indices, len(self))
        found = {
            name: np.empty((len(indices), *feature.shape), feature.dtype)
            for name, feature in _features(self._size).items()
        }
        for shard in np.unique(indices // SHARD):
            (here,) = np.nonzero(indices // SHARD == shard)
            scenes = self._shard(int(shard))[indices[here] % SHARD]
            for name, array in found.items():
                array[here] = scenes[name]
        return found

    def _shard(self, number: int) -> np.ndarray:
        path = _folder() / f"{self._split}-{self._size}-{number:03}.npy"
        if not path.is_file():
            keep(path, _saved(self._composed(number)))
        try:
            # Mapped, not read: the whole may be gathered at once, and is then there twice.
            scenes = np.load(path, mmap_mode="r", allow_pickle=False)
            if scenes.dtype != _scene_type(self._size):
                raise ValueError(f"it holds {scenes.dtype}")
        except (OSError, ValueError, EOFError) as error:
            path.unlink(missing_ok=True)  # what is composed again is the same
            raise UserError(
                f"data set 'scenes': {path} was damaged ({error}) and is removed; give the same "
                "command again: it is composed anew"
            ) from error
        return scenes

    def _composed(self, shard: int) -> np.ndarray:
        count = min(SHARD, len(self) - shard * SHARD)
        scenes = np.empty(count, _scene_type(self._size))
        for place in range(count):
            made = scene(self._split, shard * SHARD + place, self._size)
            for name, value in made.items():
                scenes[place][name] = value
        return scenes


def scene(split: str, index: int, size: int) -> dict[str, np.ndarray]:
    """Scene number `index` of a split, without its batch axis; see `scene_composition.compose`."""
    cutouts = _cutouts(str(_cutouts_file()))[split]
    # Philox's and RandomState's draws are frozen by NumPy's policy.
    draw = np.random.RandomState(np.random.Philox(key=[SEEDS[split], index]))
    return compose(draw, cutouts.stamps, cutouts.photos, size)


def _features(size: int) -> dict[str, Any]:
    return detection_features((size, size), MOST_OBJECTS, masks=True)


def _scene_type(size: int) -> np.dtype:
    return np.dtype([(name, each.dtype, each.shape) for name, each in _features(size).items()])


def _saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _folder() -> Path:
    return cache_folder() / "scenes" / f"v{VERSION}"


def _cutouts_file() -> Path:
    return _folder() / "cutouts.npz"


@functools.lru_cache(maxsize=1)
def _cutouts(path: str) -> Mapping[str, Cutouts]:
    """What both splits are made of."""
    parts = {split: Cutouts([[] for _ in CLASSES], []) for split in SPLITS}
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in sorted(file.files):
                split, kind, _ = name.split("/", 2)
                found = parts[split]
                (found.photos if kind == "photo" else found.stamps[int(kind)]).append(file[name])
        if any(not part.photos or not all(part.stamps) for part in parts.values()):
            raise ValueError("stamps or photographs are missing")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged("scenes", Path(path), str(error)) from error
    return parts


def _from_debian() -> Files:
    import sklearn.datasets

    files = debian_package(STAMPS_PACKAGE, f"{STAMPS_FOLDER}/**/*.png", paths=True)
    files = {name.removeprefix(f"{STAMPS_FOLDER}/"): content for name, content in files.items()}
    files = {name: content for name, content in files.items() if _class_of(name) is not None}
    photos: Files = {}
    for package, place in PHOTOS_PACKAGES.items():
        photos |= debian_package(package, f"{place}/*.jpg")
    folder = Path(sklearn.datasets.__file__).parent / "images"
    photos |= {path.name: path.read_bytes() for path in folder.glob("*.jpg")}
    used = {name for names in PHOTOS.values() for name in names}
    return files | {f"photo/{name}": photos[name] for name in used if name in photos}


def _check(files: Files) -> None:
    if (found := sha256_of_files(files.items())) != SHA256:
        raise WayError(f"other versions of the packages: the SHA-256 over their files is {found}")


def _class_of(name: str) -> int | None:
    """The class of a stamp by its folder; None for those that are not used."""
    if re.search(r"_(?:mirror|flip|mirror_flip)\.png$", name):
        return None  # the same picture once more
    folder = name.rpartition("/")[0]
    for number, folders in enumerate(CLASSES.values()):
        if folder in folders:
            return number
    return None


def _packed(files: Files) -> bytes:
    """The cut-outs as .npz: `<split>/<class or photo>/<name>` -> pixels."""
    arrays: dict[str, np.ndarray] = {}
    splits = splits_of(files)
    for name, content in sorted(files.items()):
        kind, _, rest = name.partition("/")
        if kind == "photo":
            split = "test" if rest in PHOTOS["test"] else "train"
            arrays[f"{split}/photo/{rest}"] = _photo(content)
            continue
        stamp = _stamp(content) if name in splits else None
        if stamp is not None:
            arrays[f"{splits[name]}/{_class_of(name)}/{name}"] = stamp
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def splits_of(names: Iterable[str]) -> dict[str, str]:
    """Stamp -> `train` or `test`, which has a quarter of each class's things.

    Stamps of one class with the same first word, as views of one thing have, are in one part. Of
    the words, sorted by their CRC-32, the first quarter is the test part.
    """
    words: dict[int, dict[str, list[str]]] = {}
    for name in names:
        stem = Path(name).stem
        word = re.search("[A-Za-z]+", stem)
        family = word[0].lower() if word else stem
        label = _class_of(name)
        if label is not None:
            words.setdefault(label, {}).setdefault(family, []).append(name)
    found = {}
    for families in words.values():
        order = sorted(families, key=lambda family: zlib.crc32(family.encode()))
        for place, family in enumerate(order):
            split = "test" if 4 * place < len(order) else "train"
            found |= dict.fromkeys(families[family], split)
    return found


def _photo(content: bytes) -> np.ndarray:
    from PIL import Image

    image = Image.open(io.BytesIO(content)).convert("RGB")
    scale = min(1.0, LARGEST_PHOTO / min(image.size))
    size = round(image.width * scale), round(image.height * scale)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def _stamp(content: bytes) -> np.ndarray | None:
    """A stamp, uint8 [h, w, 4], cut to what is solid; None if that is nothing or all of it."""
    from PIL import Image

    image: Any = Image.open(io.BytesIO(content)).convert("RGBA")
    scale = min(1.0, LARGEST_STAMP / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    solid = pixels[..., 3] >= 255 * SOLID
    if not solid.any() or solid.all():
        return None
    left, top, right, bottom = box_of(solid)
    return np.ascontiguousarray(pixels[top:bottom, left:right])
