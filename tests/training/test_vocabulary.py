"""A model whose vocabulary doesn't fit its data's tokenizer is refused before anything is made."""

import pytest

from aimodels.config import resolve
from aimodels.errors import UserError
from aimodels.training.build import check_vocabulary
from aimodels.training.run import train

TEXT = "abcdefg hij\n" * 40  # 12 characters
GPT = {"name": "GPT", "width": 8, "num_heads": 1, "num_layers": 1, "max_length": 8}


def of(folder, vocabulary):
    (folder / "own.txt").write_text(TEXT)
    return {
        "data": {"name": "text", "corpus": str(folder / "own.txt"), "length": 8},
        "model": GPT | {"vocabulary": vocabulary},
        "task": {"name": "language_model"},
        "optimizer": {"name": "adam"},
        "training": {"steps": 1, "batch_size": 2},
        "evaluation": {"splits": ("validation",)},
    }


@pytest.mark.parametrize("vocabulary", [11, 13])
def test_too_few_and_too_many_ids_are_named(tmp_path, vocabulary):
    message = rf"config\.model\.vocabulary is {vocabulary}, but the tokenizer .* has 12 tokens"
    with pytest.raises(UserError, match=message):
        train(of(tmp_path, vocabulary), tmp_path / "run", verbose=False)
    assert not (tmp_path / "run").exists()


def test_a_model_that_makes_no_ids_may_have_more(tmp_path):
    check_vocabulary(resolve(of(tmp_path, 12)))
    more = {"name": "masked_language_model", "mask_token": 12}
    check_vocabulary(resolve(of(tmp_path, 13) | {"task": more}))
    with pytest.raises(UserError, match="vocabulary is 11"):
        check_vocabulary(resolve(of(tmp_path, 11) | {"task": more}))
