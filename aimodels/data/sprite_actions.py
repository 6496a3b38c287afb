"""Actions of the characters of the game Flare, as short clips: who acts in the test is new.

Art of Flare (flarerpg.org), by Clint Bellanger and others, as Debian's package `flare-game` has it.
"""

import dataclasses
import functools
import io
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.data.base import Dataset, Feature, Info
from aimodels.data.cache import cache_folder, damaged, keep, read_file, sha256_of_files
from aimodels.data.fetching import Files, WayError, debian_package, first_that_works
from aimodels.data.source import ArraySource

# The recipe; a change makes another data set.
FRAMES, SIZE, DIRECTIONS = 4, 48, 8
BACKGROUND = 128
ACTIONS = ("stance", "run", "swing", "cast", "shoot", "die")
# Characters of one family move alike, so a family is in one part only.
FAMILIES: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "avatar": ("male", "female"),
        "antlion": ("antlion", "antlion_small", "fire_ant", "ice_ant"),
        "goblin": ("goblin", "goblin_elite"),
        "wyvern": (
            "wyvern",
            "wyvern_adult",
            "wyvern_air",
            "wyvern_fire",
            "wyvern_water",
            "wyvern_air_boss",
        ),
        "zombie": ("zombie", "zombie_dark"),
    },
    "test": {
        "hobgoblin": ("hobgoblin", "hobgoblin_archer"),
        "minotaur": ("minotaur",),
        "skeleton": (
            "skeleton",
            "skeleton_archer",
            "skeleton_mage",
            "skeleton_weak",
            "skeleton_knight_boss",
            "skeleton_mage_boss",
            "skeleton_mage_high_boss",
        ),
    },
}
CAMPAIGN = (
    "hobgoblin",
    "hobgoblin_archer",
    "skeleton_knight_boss",
    "skeleton_mage_boss",
    "skeleton_mage_high_boss",
    "wyvern_air_boss",
    "zombie_dark",
)
# What the avatars wear, from below to above; "head" is another one for each.
OUTFITS: dict[str, tuple[str, ...]] = {
    "cloth": ("cloth_pants", "cloth_sandals", "cloth_shirt", "cloth_gloves", "head", "dagger"),
    "leather": (
        "leather_pants",
        "leather_boots",
        "leather_chest",
        "leather_gloves",
        "leather_hood",
        "longbow",
    ),
    "chain": (
        "chain_greaves",
        "chain_boots",
        "chain_cuirass",
        "chain_gloves",
        "chain_coif",
        "longsword",
    ),
    "plate": (
        "plate_greaves",
        "plate_boots",
        "plate_cuirass",
        "plate_gauntlets",
        "plate_helm",
        "greatsword",
    ),
    "mage": ("mage_skirt", "mage_boots", "mage_vest", "mage_sleeves", "mage_hood", "staff"),
    "default": ("default_legs", "default_feet", "default_chest", "default_hands", "head", "wand"),
}
HEADS = {"male": "head_short", "female": "head_long"}
PACKAGE, FOLDER = "flare-game", "usr/share/games/flare/mods"
PATTERN = f"{FOLDER}/*/[ai]*/[ae]*/**/*.*"
# Over the files that are kept, each sheet and its table.
SHA256 = "7a15250b94497e926795090ceac1d8f6f177bd81b0bdde893c1b793d73c5f44a"
COUNTS = {"train": 1120, "test": 448}

Rectangle = tuple[int, int, int, int, int, int]  # x, y, width, height in the sheet; offset x and y
Animation = dict[tuple[int, int], Rectangle]  # (frame, direction) -> its place


@dataclasses.dataclass(frozen=True)
class SpriteActions(Dataset):
    """Clips, `inputs` [B, T=4, H=48, W=48, C=3] uint8, `targets` [B] int32, 6 actions.

    Each clip shows a character from one of eight sides: T frames at equal distances of an action,
    as many as most actions have, on grey. Ants and wyverns, whose spells and shots look like their
    blows, have each only once. `train` has avatars in six outfits, ants, goblins, wyverns and
    zombies, `test` hobgoblins, a minotaur and skeletons.
    """

    def info(self) -> Info:
        """The facts."""
        return Info(
            name="sprite_actions",
            title="Actions of Flare's characters",
            task="classification",
            features={
                "inputs": Feature((FRAMES, SIZE, SIZE, 3), "uint8"),
                "targets": Feature((), "int32"),
            },
            splits=COUNTS,
            num_classes=len(ACTIONS),
            class_names=ACTIONS,
            licence="CC BY-SA 3.0",
            citation="Flare, flarerpg.org: Clint Bellanger and others",
            source=f"Debian's package {PACKAGE}",
            how="fetched from the package (123 MB, of which 47 are kept)",
            notes="split by families of characters, by us: no published figure is of this set",
        )

    def is_ready(self) -> bool:
        """Whether the sheets and their tables are there."""
        return all((_folder() / name).is_file() for name in _file_names())

    def load_whole(self, split: str) -> ArraySource:
        """A split, drawn when it is first asked for."""
        return ArraySource(_clips(_folder(), split))

    def fetch(self) -> str:
        """Get the sheets out of Debian's package."""
        ways = [(f"Debian's package {PACKAGE}", _from_debian)]
        files, line = first_that_works("sprite_actions", ways, _check)
        for name, content in files.items():
            keep(_folder() / name, content)
        _clips.cache_clear()
        return line


def layers() -> dict[str, dict[str, tuple[str, ...]]]:
    """Split -> character -> its sheets, from below to above, as paths without an ending."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for split, families in FAMILIES.items():
        found[split] = {}
        for family, characters in families.items():
            for character in characters:
                if family != "avatar":
                    found[split][character] = (f"enemies/{character}",)
                    continue
                for outfit, worn in OUTFITS.items():
                    names = (HEADS[character] if each == "head" else each for each in worn)
                    sheets = tuple(f"avatar/{character}/{name}" for name in names)
                    found[split][f"{character} {outfit}"] = sheets
    return found


def read_animations(text: str) -> dict[str, Animation]:
    """The sections of one of Flare's tables: action -> (frame, direction) -> its place."""
    found: dict[str, Animation] = {}
    action = ""
    for line in text.splitlines():
        key, _, value = line.strip().partition("=")
        if key.startswith("["):
            action = key.strip("[]")
        elif key == "frame" and action:
            frame, direction, *place = (int(number) for number in value.split(",")[:8])
            found.setdefault(action, {})[frame, direction] = tuple(place)  # pyright: ignore
    return found


def distinct(animations: dict[str, Animation]) -> dict[str, Animation]:
    """The `ACTIONS` there are, each once: of those that look the same the first of the list."""
    found: dict[str, Animation] = {}
    for action in ACTIONS:
        places = animations.get(action, {})
        if len({frame for frame, _ in places}) >= 3 and places not in found.values():
            found[action] = places
    return found


@functools.lru_cache(maxsize=2)
def _clips(folder: Path, split: str) -> dict[str, np.ndarray]:
    files = {name: read_file(folder / name, "sprite_actions") for name in _file_names()}
    if sha256_of_files(files.items()) != SHA256:
        raise damaged("sprite_actions", folder, "the SHA-256 over its files differs")
    inputs, targets = [], []
    for sheets in layers()[split].values():
        for action, clips in _character(files, sheets).items():
            inputs.append(clips)
            targets += [ACTIONS.index(action)] * len(clips)
    return {"inputs": np.concatenate(inputs), "targets": np.array(targets, np.int32)}


def _character(files: Files, sheets: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Action -> clips [8, T, SIZE, SIZE, 3] of a character, one a direction."""
    pictures = [_pixels(files[f"{sheet}.png"]) for sheet in sheets]
    tables = [distinct(read_animations(files[f"{sheet}.txt"].decode())) for sheet in sheets]
    # One scale for all that a character does: else it would tell the action.
    places = [np.array(list(places.values())) for table in tables for places in table.values()]
    left, top, right, bottom = _extent(np.concatenate(places))
    side = max(right - left, bottom - top)
    middle = (left + right - side) // 2, (top + bottom - side) // 2
    actions = [action for action in tables[0] if all(action in table for table in tables)]
    clips = {}
    for action in actions:
        last = max(frame for frame, _ in tables[0][action])
        times = np.round(np.linspace(0, last, FRAMES)).astype(int)
        drawn = [
            [
                _scaled(_drawn(pictures, [t[action] for t in tables], (time, way), side, middle))
                for time in times
            ]
            for way in range(DIRECTIONS)
        ]
        clips[action] = np.array(drawn, np.uint8)
    return clips


def _extent(places: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of all frames, from the point on the ground they stand on."""
    left, top = -places[:, 4], -places[:, 5]
    right, bottom = left + places[:, 2], top + places[:, 3]
    return int(left.min()), int(top.min()), int(right.max()), int(bottom.max())


def _drawn(
    pictures: list[np.ndarray],
    tables: list[Animation],
    at: tuple[int, int],
    side: int,
    middle: tuple[int, int],
) -> np.ndarray:
    """One frame on grey, [side, side, 3] float32."""
    canvas = np.full((side, side, 3), BACKGROUND, np.float32)
    for picture, table in zip(pictures, tables, strict=True):
        if at not in table:
            continue
        x, y, width, height, offset_x, offset_y = table[at]
        sprite = picture[y : y + height, x : x + width].astype(np.float32)
        top, left = -offset_y - middle[1], -offset_x - middle[0]
        under = canvas[top : top + height, left : left + width]
        under += sprite[..., 3:] / 255 * (sprite[..., :3] - under)
    return canvas


def _scaled(canvas: np.ndarray) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(np.round(canvas).astype(np.uint8))
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def _pixels(content: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=("PNG",)) as file:
        return np.asarray(file.convert("RGBA"))


def _folder() -> Path:
    return cache_folder() / "sprite_actions"


def _file_names() -> list[str]:
    sheets = {
        sheet for characters in layers().values() for each in characters.values() for sheet in each
    }
    return [f"{sheet}{ending}" for sheet in sorted(sheets) for ending in (".png", ".txt")]


def _check(files: Files) -> None:
    if missing := [name for name in _file_names() if name not in files]:
        raise WayError(f"the package does not hold {missing[0]}")
    if sha256_of_files(files.items()) != SHA256:
        raise WayError("the SHA-256 over its files differs")


def _from_debian() -> Files:
    found: Any = debian_package(PACKAGE, PATTERN, paths=True)
    files = {}
    for name in _file_names():
        sheet, kind = name.rpartition("/")[2], "images" if name.endswith(".png") else "animations"
        mod = "empyrean_campaign" if sheet[:-4] in CAMPAIGN else "fantasycore"
        path = f"{FOLDER}/{mod}/{kind}/{name}"
        if path in found:
            files[name] = found[path]
    return files
