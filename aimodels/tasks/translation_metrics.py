"""How good translations are: BLEU and chrF by sacreBLEU, NIST by NLTK, and a paired bootstrap.

Papineni et al. 2002, Popović 2015, Doddington 2002; Koehn 2004. They are no means over sentences:
all translations of a split are scored together.

Shapes: B texts, T tokens.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import clu.metrics
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError

Array = jax.Array
FIGURES = ("bleu", "chrf", "nist")
NIST_ORDER = 5


def translation_scores(
    translations: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    is_cut_into_words: bool = False,
) -> dict[str, float]:
    """The scores of translations, in lower and upper case as they are.

    Args:
      translations: B texts.
      references: the right translations of each, one or more.
      is_cut_into_words: a space stands around every word and mark already; else texts are cut as by
        mteval-v13a, sacreBLEU's default.

    Returns:
      `bleu` and `chrf` in per cent (sacreBLEU's signatures, with one reference:
      nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp, or tok:none; and
      nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no); `nist` of n-grams up to 5.

    Raises:
      UserError: sacrebleu or nltk is not installed, or there is nothing to score.
    """
    _check(translations, references)
    bleu, chrf = _metrics(is_cut_into_words)
    by_rank = _by_rank(references)
    return {
        "bleu": bleu.corpus_score(list(translations), by_rank).score,
        "chrf": chrf.corpus_score(list(translations), by_rank).score,
        "nist": _nist(translations, references, is_cut_into_words),
    }


def words_of(is_cut_into_words: bool) -> Callable[[str], list[str]]:
    """A function that cuts a text into the words that BLEU counts: at spaces, or by mteval-v13a."""
    return str.split if is_cut_into_words else _words_of_13a()


def _nist(
    translations: Sequence[str], references: Sequence[Sequence[str]], is_cut_into_words: bool
) -> float:
    words = words_of(is_cut_into_words)
    cut = [words(text) for text in translations]
    known = [[words(text) for text in each] for each in references]
    # An order that no translation reaches adds nothing; NLTK would divide by zero.
    order = min(NIST_ORDER, max(map(len, cut)))
    return _nltk().corpus_nist(known, cut, order) if order else 0.0


def paired_bootstrap(
    first: Sequence[str],
    second: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metric: str = "bleu",
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    is_cut_into_words: bool = False,
) -> dict[str, Any]:
    """Whether one system translates better than another on the same texts (Koehn 2004).

    Texts are drawn with replacement, the same for both systems, as many as there are.

    Args:
      first: a system's translations of B texts.
      second: another's.
      references: as in `translation_scores`.
      metric: bleu or chrf.
      samples: how often texts are drawn.
      level: of the intervals.
      seed: decides the draws.
      is_cut_into_words: as in `translation_scores`.

    Returns:
      `first`, `second` and `difference` (first - second), each (score, low, high); `p_value`, the
      share of the draws in which the system that is better on all texts is not the better one.
    """
    one, other = (
        bootstrap_scores(
            translations,
            references,
            metric=metric,
            samples=samples,
            seed=seed,
            is_cut_into_words=is_cut_into_words,
        )
        for translations in (first, second)
    )
    return compared_scores(one, other, level)


def bootstrap_scores(
    translations: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metric: str = "bleu",
    samples: int = 1000,
    seed: int = 0,
    is_cut_into_words: bool = False,
) -> np.ndarray:
    """The score of all texts, and those of texts drawn with replacement: [1 + samples].

    With the same seed the same texts are drawn, for any system. The arguments are those of
    `paired_bootstrap`.
    """
    bleu, chrf = _metrics(is_cut_into_words)
    if metric not in ("bleu", "chrf"):
        raise UserError(f"metric {metric!r}: a paired bootstrap takes bleu or chrf")
    scorer = bleu if metric == "bleu" else chrf
    generator = np.random.default_rng(seed)
    count = len(references)
    draws = generator.integers(count, size=(samples, count))
    _check(translations, references)
    # What sacreBLEU's own test of significance calls: sums of a text's counts make the score.
    statistics = np.array(
        scorer._extract_corpus_statistics(list(translations), _by_rank(references))
    )
    sums = [statistics.sum(0), *(statistics[draw].sum(0) for draw in draws)]
    return np.array([scorer._compute_score_from_stats(each.tolist()).score for each in sums])


def compared_scores(first: np.ndarray, second: np.ndarray, level: float = 0.95) -> dict[str, Any]:
    """Two systems' `bootstrap_scores` of the same draws side by side: see `paired_bootstrap`."""
    values = np.array([first, second, first - second])
    tails = np.quantile(values[:, 1:], [(1 - level) / 2, (1 + level) / 2], axis=1)
    names = ("first", "second", "difference")
    result: dict[str, Any] = {
        name: (float(all_texts), float(low), float(high))
        for name, all_texts, low, high in zip(names, values[:, 0], *tails, strict=True)
    }
    sign = np.sign(values[2, 0])
    return result | {"p_value": float(np.mean(sign * values[2, 1:] <= 0))}


@flax.struct.dataclass
class TranslationScores(clu.metrics.Metric):
    """All translations of a split; made by `translation_scores_of`.

    Attributes:
      ids: int32 [B, T].
      number: int32 [B], of the pair, see `aimodels.data.text.parallel`.
      mask: [B], which count.
      dataset: that has the right translations, and the tokenizer.
    """

    ids: Array
    number: Array
    mask: Array
    dataset: ClassVar[Any]

    @classmethod
    def from_model_output(
        cls, *, ids: Array, number: Array, mask: Array | None = None, **_: Any
    ) -> Self:
        """From translations of a batch."""
        mask = jnp.ones(len(number), bool) if mask is None else mask.astype(bool)
        return cls(ids=ids, number=number, mask=mask)

    def merge(self, other: Self) -> Self:
        """Those of both, one behind the other."""
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), self, other)

    def compute(self) -> dict[str, Array]:
        """`FIGURES`, by a call of the host where this is compiled; NaN over nothing."""
        shapes = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in FIGURES}

        def on_host(ids: Any, number: Any, mask: Any) -> dict[str, Any]:
            from aimodels.data.text.parallel import text_of

            ids, number, mask = (np.asarray(each) for each in (ids, number, mask))
            if not mask.any():
                return dict.fromkeys(FIGURES, np.float32(np.nan))
            tokenizer = self.dataset.made
            found = translation_scores(
                [text_of(tokenizer, row) for row in ids[mask]],
                [[text] for text in self.dataset.targets_of(number[mask])],
                is_cut_into_words=self.dataset.is_cut_into_words,
            )
            return {name: np.float32(value) for name, value in found.items()}

        return jax.pure_callback(
            on_host, shapes, self.ids, self.number, self.mask, vmap_method="sequential"
        )


@functools.lru_cache(maxsize=16)
def translation_scores_of(dataset: Any) -> type[TranslationScores]:
    """The metric for a `ParallelTexts`.

    Raises:
      UserError: sacrebleu or nltk is not installed; here, since it could not be raised as it is
        where scores are computed, in a call from a compiled function.
    """
    _metrics(False)
    _nltk()
    named = type("TranslationScoresOfDataset", (TranslationScores,), {"dataset": dataset})
    return flax.struct.dataclass(named)


def _check(translations: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(translations) != len(references) or not len(references):
        raise UserError(
            f"there are {len(translations)} translations and {len(references)} references; takes "
            "as many of both, and at least one"
        )


def _by_rank(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """As sacreBLEU takes them: the first reference of each text, then the second, ..."""
    most = max(map(len, references))
    return [
        [each[rank] if rank < len(each) else None for each in references] for rank in range(most)
    ]


@functools.cache
def _metrics(is_cut_into_words: bool) -> tuple[Any, Any]:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise _missing("sacrebleu") from error
    # `force`: no warning of texts that are cut into words.
    return BLEU(tokenize="none" if is_cut_into_words else "13a", force=True), CHRF()


@functools.cache
def _words_of_13a() -> Any:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    cut = Tokenizer13a()
    return lambda text: cut(text).split()


def _nltk() -> Any:
    try:
        from nltk.translate import nist_score
    except ImportError as error:
        raise _missing("nltk") from error
    return nist_score


def _missing(library: str) -> UserError:
    return UserError(f"scores of translations need {library}: pip install 'aimodels[translation]'")
