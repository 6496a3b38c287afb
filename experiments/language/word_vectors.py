"""Word vectors of the Brown corpus and of Shakespeare's works: word2vec and GloVe.

aimodels data fetch words:brown
aimodels train --config=experiments/language/word_vectors.py:skip_gram --workdir=runs/words
aimodels neighbours --workdir=runs/words --words king house
aimodels export --workdir=runs/words --format=word2vec --output=vectors.txt
aimodels reproduce experiments/language/word_vectors.py --seeds=3

Skip-gram and CBOW with negative sampling (Mikolov et al. 2013, both papers), and GloVe (Pennington
et al. 2014), judged by analogies, WordSim-353 and SimLex-999. The papers' vectors are of a thousand
and more times as much text, so that none of their figures stands beside these.
"""

from typing import Any

from ml_collections import ConfigDict

from aimodels.reproduce import Row

CORPORA: dict[str, dict[str, Any]] = {
    "brown": {"corpus": "brown"},
    # Its lines are verses: windows go on over them, within what one person says.
    "shakespeare": {"corpus": "shakespeare", "unit": "paragraph"},
}
# Words that come five times or more, and what a text is without the others.
VOCABULARY = {"brown": 13_919, "shakespeare": 9_015}
TOKENS = {"brown": 951_548, "shakespeare": 876_170}
PAIRS = {"brown": 3_573_760}
VARIANTS = ("skip_gram", "cbow", "glove", "skip_gram_shakespeare", "cbow_shakespeare")
EPOCHS, LENGTH, STRETCHES = 5, 1000, 2
GLOVE_EPOCHS, GLOVE_BATCH = 15, 4096


def get_config(variant: str = "skip_gram") -> ConfigDict:
    """Vectors of width 100: a method on a corpus."""
    task = variant.removesuffix("_shakespeare")
    corpus = "brown" if task == variant else "shakespeare"
    if task == "glove":
        data = {"name": "cooccurrences", **CORPORA[corpus], "window": 10}
        batch_size, steps = GLOVE_BATCH, GLOVE_EPOCHS * PAIRS[corpus] // GLOVE_BATCH
    else:
        data = {"name": "words", **CORPORA[corpus], "length": LENGTH}
        batch_size, steps = STRETCHES, EPOCHS * TOKENS[corpus] // (LENGTH * STRETCHES)
    return ConfigDict(
        {
            "data": data,
            "model": {
                "name": "GloVe" if task == "glove" else "Word2Vec",
                "vocabulary": VOCABULARY[corpus],
                "width": 100,
            },
            "task": {"name": task},
            "training": {"steps": steps, "batch_size": batch_size},
            "evaluation": {
                "splits": ("semantic", "syntactic", "wordsim353", "simlex999"),
                "batch_size": 500,
            },
        }
    )


def published() -> list[Row]:
    """Spearman's correlations with people's ratings, and analogies that are right: of ours."""
    names = {"skip_gram": "Skip-gram", "cbow": "CBOW", "glove": "GloVe"}
    shown = {
        "wordsim353/spearman": "WordSim-353",
        "simlex999/spearman": "SimLex-999",
        "syntactic/accuracy": "syntactic analogies",
    }
    return [
        Row(
            name=f"{label}, {questions}",
            variant=variant,
            metric=metric,
            published=None,
            source="our own row: the papers' corpora have a thousand times as many words",
            decimals=3,
            seconds=240,
        )
        for variant, label in names.items()
        for metric, questions in shown.items()
    ]
