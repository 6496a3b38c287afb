"""Multi30k: captions of photographs in English, German and French.

Elliott et al., "Multi30K: multilingual English-German image descriptions", 2016; Elliott et al.,
"Findings of the second shared task on multimodal machine translation", WMT 2017.
"""

import dataclasses
import functools
import gzip
import re
from pathlib import Path
from typing import Any, ClassVar, Literal

from aimodels.data.base import Info
from aimodels.data.cache import cache_folder, keep, read_file
from aimodels.data.fetching import Files, archive_ways, check_digests, first_that_works
from aimodels.data.text.parallel import LANGUAGES, Pairs, ParallelTexts

# Our name of a split -> that in the files' names, and how many captions it has.
SPLITS = {
    "train": ("train", 29_000),
    "validation": ("val", 1014),
    "test_2016": ("test_2016_flickr", 1000),
    "test_2017": ("test_2017_flickr", 1000),
    "test_coco": ("test_2017_mscoco", 461),
}
# By the files' names without what they end with or have in between.
RAW = {
    "train.en": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "train.de": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.fr": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "val.en": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.de": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.fr": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    "test_2016_flickr.en": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2016_flickr.de": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.fr": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    "test_2017_flickr.en": "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
    "test_2017_flickr.de": "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee",
    "test_2017_flickr.fr": "3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496",
    "test_2017_mscoco.en": "aab300bfb4427697987e02cd0aacd44bfe8aa50456231b6474c08038bbed2b58",
    "test_2017_mscoco.de": "799e4854c25d601cb6cb6be29eabe5667734c61ace2f495e03e429031a0bc338",
    "test_2017_mscoco.fr": "754f3072ba9f124569ba5258b32730fc1d214bbf8e0c6dfb2b74401676220db0",
}
TOKENIZED = {
    "train.en": "08925f8e0572bcd5a006702fc5fe20e2d77c6917d4eebd576fc20de6693c2119",
    "train.de": "cb5a23529b65ec2061f1dc446192a9c37382b63cc75f81a0be59d34894b3a505",
    "train.fr": "8fa41bb718412bcb7c5dfa58603842810a01543eae86a51279f9886b901266e1",
    "val.en": "46573ce391ae227f1c72f873392436a20ef18e0a6d518098cfbd70b77c8572ec",
    "val.de": "97232bd273eceb7207f689527386a97e4be2616b18ada47576bdaf96c8ae1f00",
    "val.fr": "b303e301aa21fe7822a846b2b3fb2d5a1121ec807cd5b1d006fb7b2b5507168a",
    "test_2016_flickr.en": "5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2",
    "test_2016_flickr.de": "c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4",
    "test_2016_flickr.fr": "1463bd5960f9bfe098ec3cd752d3df0c49c84dc646fb518964a29232658cd836",
    "test_2017_flickr.en": "c9d1dfd7a26add989382e534af235af9f0f658b2a30e7eb0efdaf142496ee54f",
    "test_2017_flickr.de": "02067e4a9402786a4fcb8c1b6f4307e4a5073ced64800abead5273b54f5f31f6",
    "test_2017_flickr.fr": "c0583117a47b31e8a6c6a97cfe8de153e462074668f4e994764fcc80b21d33b4",
    "test_2017_mscoco.en": "fe69ae004d71c42ead0301e70c57de5b1b6b5fb7f52210d42b22801e98e656f3",
    "test_2017_mscoco.de": "e2825990b8a4e5289d2cdba801d57c187810bab9b4f5d87a30c35800a0d871b6",
    "test_2017_mscoco.fr": "0b6a4620f02b6b9acf7811fda23f90fed9c6baa0b96aa224db50a273078c84d1",
}
SHA256 = {f"{name}.gz": digest for name, digest in RAW.items()} | {
    name.replace(".", ".lc.norm.tok."): digest for name, digest in TOKENIZED.items()
}
MIRROR_ARCHIVE = "multi30k-task1.tar.gz"
URL = "https://github.com/multi30k/dataset/archive/refs/heads/master.tar.gz"
WANTED = re.compile(
    r"(?:\./)?(?:[^/]+/)?data/task1/(?:raw|tok)/(?P<name>" + "|".join(map(re.escape, SHA256)) + ")"
)


@dataclasses.dataclass(frozen=True)
class Multi30k(ParallelTexts):
    """Captions and their translations by people, with the official splits; see `ParallelTexts`.

    Attributes:
      form: "raw", as they were written; or "tokenized", the publisher's: in lower case, marks
        normalised, cut into words by Moses's script, as most papers score them.
    """

    form: Literal["raw", "tokenized"] = "raw"

    languages: ClassVar[tuple[str, ...]] = ("en", "de", "fr")

    @classmethod
    def presets(cls) -> tuple[dict[str, Any], ...]:
        """English into each other language."""
        return ({"target": "de"}, {"target": "fr"})

    @property
    def is_cut_into_words(self) -> bool:
        """Of the tokenized form."""
        return self.form == "tokenized"

    def info(self) -> Info:
        """The facts."""
        return Info(
            name=f"multi30k:{self.target}",
            title=f"Multi30k captions, {LANGUAGES[self.source]} to {LANGUAGES[self.target]}",
            task="translation",
            features=self.features(),
            splits={split: size for split, (_, size) in SPLITS.items()},
            num_classes=self.vocabulary,
            licence="for research; the photographs' captions under Flickr's terms",
            citation="Elliott et al., 2016; Elliott et al., WMT 2017",
            source="github.com/multi30k/dataset",
            how="fetched from a mirror or GitHub (5 MB)",
        )

    def is_ready(self) -> bool:
        """Whether the files are there."""
        names = [_name(split, language, self.form) for split in SPLITS for language in self._both]
        return all((_folder() / name).is_file() for name in names)

    def fetch(self) -> str:
        """Get the captions of all three languages from a mirror folder or from GitHub."""
        ways = archive_ways(MIRROR_ARCHIVE, URL, WANTED)
        files, line = first_that_works("multi30k", ways, _check)
        for name, content in files.items():
            keep(_folder() / name, content)
        return line

    def pairs(self, split: str) -> Pairs:
        """The captions of a split in both languages."""
        return Pairs(*(_read(_folder() / _name(split, side, self.form)) for side in self._both))

    @property
    def _both(self) -> tuple[str, str]:
        return self.source, self.target


def _name(split: str, language: str, form: str) -> str:
    stem = SPLITS[split][0]
    return f"{stem}.{language}.gz" if form == "raw" else f"{stem}.lc.norm.tok.{language}"


@functools.lru_cache(maxsize=16)
def _read(file: Path) -> list[str]:
    content = read_file(file, "multi30k", SHA256[file.name])
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode()
    # Not `splitlines`: there are characters in them that it would take for ends of lines.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _folder() -> Path:
    return cache_folder() / "multi30k"


def _check(files: Files) -> None:
    check_digests(files, SHA256)
