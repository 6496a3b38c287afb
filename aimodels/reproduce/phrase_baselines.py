"""Rows of phrase-based translation in tables of neural systems: the same texts, the same scores."""

import time
from pathlib import Path
from typing import Any

from aimodels.errors import UserError
from aimodels.models.phrase_based.decoder import translate
from aimodels.models.phrase_based.model import fit
from aimodels.models.phrase_based.tuning import tune
from aimodels.reproduce.systems import write_translations
from aimodels.tasks.translation_metrics import translation_scores, words_of


def phrase_based(
    dataset: Any,
    splits: tuple[str, ...],
    folder: Path,
    *,
    validation: str = "validation",
    order: int = 3,
    beam: int = 100,
    rounds: int = 6,
    told: Any = None,
) -> dict[str, float]:
    """Makes a phrase-based model of the training pairs, tunes it, and translates splits.

    Nothing is drawn but the points that tuning starts from, of a fixed seed. Words are those that
    BLEU counts: the texts' own where they are cut, else sacreBLEU's.

    Args:
      dataset: an `aimodels.data.text.parallel.ParallelTexts`.
      splits: that are translated.
      folder: where the translations are left: `systems.translations_file`.
      validation: the split that the weights are tuned on.
      order: of the language model.
      beam: hypotheses of a stack; tuning follows 30.
      rounds: of tuning, at most; 0 takes Moses's weights.
      told: is given a line of text at times.

    Returns:
      "<split>/bleu", "<split>/chrf" and "<split>/nist" of each; "phrases", pairs in the table;
      "seconds" to make the model, "tuning_seconds", and "decoding_seconds" for all splits.
    """
    if not hasattr(dataset, "pairs"):
        raise UserError("a phrase-based model takes pairs of texts, such as multi30k has")
    cut = words_of(dataset.is_cut_into_words)
    started = time.perf_counter()
    train = dataset.pairs("train")
    model = fit(*([cut(text) for text in side] for side in train), order=order)
    made = time.perf_counter()
    given: dict[str, Any] = {}
    if rounds:
        pairs = dataset.pairs(validation)
        sides = ([cut(text) for text in side] for side in pairs)
        given["weights"] = tune(model, *sides, rounds=rounds, told=told).weights
    tuned = time.perf_counter()
    found = {"phrases": float(len(model.table.translations))}
    for split in splits:
        sources, targets = dataset.pairs(split)
        texts = [
            " ".join(words)
            for words in translate(model, [cut(text) for text in sources], beam=beam, **given)
        ]
        write_translations(folder, split, texts)
        scores = translation_scores(
            texts, [[text] for text in targets], is_cut_into_words=dataset.is_cut_into_words
        )
        found |= {f"{split}/{name}": value for name, value in scores.items()}
    return found | {
        "seconds": made - started,
        "tuning_seconds": tuned - made,
        "decoding_seconds": time.perf_counter() - tuned,
    }
