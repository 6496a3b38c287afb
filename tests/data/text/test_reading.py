"""Windows of questions and texts, answers found in them again, and SQuAD as TFDS has it."""

import numpy as np
import pytest

from aimodels.data import make
from aimodels.data.text.reading import (
    SPECIAL,
    cut,
    reader_tokenizer,
    text_between,
    tokens_of,
)
from aimodels.data.text.squad import TfdsSquad, readings_of
from aimodels.data.text.tokenizer_training import train
from aimodels.errors import UserError

TEXT = "The quick brown fox jumps over the lazy dog, and the Dog (old as he is) sleeps on."


@pytest.fixture(scope="module")
def tokenizer():
    return train("wordpiece", [TEXT, "who jumps?"], 80, SPECIAL)


def test_windows_hold_all_of_a_text_and_its_question(tokenizer):
    whole = tokenizer.encode(TEXT)
    asked = tokenizer.encode("who jumps?")
    found = cut(tokenizer, ["who jumps?", "who?"], [TEXT, "a fox"], length=20, stride=5)
    begin, end = tokenizer.id_of("[CLS]"), tokenizer.id_of("[SEP]")
    seen = set()
    (mine,) = np.nonzero(found.rows == 0)
    assert len(mine) > 2
    for window in mine:
        ids = found.inputs[window, : found.lengths[window]]
        start, first = found.text_starts[window], found.firsts[window]
        assert list(ids[:start]) == [begin, *asked, end]
        assert ids[-1] == end
        np.testing.assert_array_equal(ids[start:-1], whole[first : first + len(ids) - start - 1])
        assert not found.token_types[window, :start].any()
        assert found.token_types[window].sum() == len(ids) - start
        assert not found.inputs[window, found.lengths[window] :].any()  # [PAD] is 0
        seen.update(range(first, first + len(ids) - start - 1))
    assert seen == set(range(len(whole)))
    assert list(np.diff(found.firsts[mine])) == [5] * (len(mine) - 1)
    assert (found.rows == 1).sum() == 1


def test_offsets_give_back_the_text_as_it_is_written(tokenizer):
    (offsets,) = cut(tokenizer, ["who?"], [TEXT], length=64).offsets
    for answer in ("quick brown fox", "The", "Dog (old as he is)", "dog"):
        start = TEXT.index(answer)
        first, last = tokens_of(offsets, start, len(answer))
        assert text_between(TEXT, offsets, first, last) == answer
    assert tokens_of(offsets, len(TEXT) + 5, 3) is None
    assert tokens_of(offsets, -1, 0) is None
    assert text_between(TEXT, offsets, 3, 2) == ""


def test_a_question_without_room_for_a_text_is_told(tokenizer):
    with pytest.raises(UserError, match="leaves no room"):
        cut(tokenizer, ["who jumps over the lazy dog?"], [TEXT], length=9)
    with pytest.raises(UserError, match="needs subwords"):
        cut(train("characters", [TEXT]), ["a"], [TEXT])


def test_targets_of_generated_stories_are_their_answers():
    data = make("babi_spans", tasks=(1, 3, 5), size=40, length=96, stride=24)
    source = data.load("train")
    batch = source.gather(np.arange(len(source)))
    assert len(source) > 120  # some stories have several windows
    has = batch["targets"].any(1)
    for row in np.flatnonzero(has):
        moved = batch["firsts"][row] - batch["text_starts"][row]
        number = int(batch["number"][row])
        assert data.answer(number, *(batch["targets"][row] + moved)) == data.answers(number)[0]
    assert set(batch["number"][has]) == set(batch["number"])  # each has a window with its answer
    features = data.info().features
    assert {name: array.shape[1:] for name, array in batch.items()} == {
        name: feature.shape for name, feature in features.items()
    }
    assert all(array.dtype == "int32" for array in batch.values())
    few = data.load("train[:10]+test[:5]")
    assert len(few) == 15


EXAMPLES = [
    {
        "question": b"Who sleeps?",
        "context": TEXT.encode(),
        "answers": {"text": [b"the Dog", b"Dog"], "answer_start": np.array([49, 53], np.int32)},
    },
    {
        "question": b"Who barks?",
        "context": TEXT.encode(),
        "answers": {"text": [], "answer_start": np.array([], np.int32)},
    },
]


def test_squad_is_read_as_tfds_has_it():
    answered, other = readings_of(EXAMPLES)
    assert answered.answers == ("the Dog", "Dog")
    assert answered.text[answered.start :].startswith("the Dog")
    assert (other.answers, other.start) == ((), -1)
    listed = [
        EXAMPLES[0] | {"answers": [{"text": b"the Dog", "answer_start": 49}]},
    ]
    assert readings_of(listed)[0].answers == ("the Dog",)


def test_squad_is_windows_of_its_readings(monkeypatch):
    monkeypatch.setattr(TfdsSquad, "readings", lambda self, split: readings_of(EXAMPLES))
    data = make("tfds_squad", vocabulary=80, length=24, stride=6, question_length=8)
    source = data.load("validation")
    batch = source.gather(np.arange(len(source)))
    numbers = batch["number"]
    has = batch["targets"].any(1)
    assert has.any()
    assert len(set(numbers[has])) == 1  # the other question has no answer
    row = int(np.flatnonzero(has)[0])
    moved = batch["firsts"][row] - batch["text_starts"][row]
    assert data.answer(int(numbers[row]), *(batch["targets"][row] + moved)) == "the Dog"
    assert data.answers(int(numbers[-1])) == ()


def test_absent_squad_and_absent_tokenizers_are_told(tmp_path):
    data = make("tfds_squad", data_dir=str(tmp_path))
    assert not data.is_ready()
    with pytest.raises(UserError, match="data fetch tfds_squad:squad"):
        data.load("train")
    with pytest.raises(UserError, match="wordpiece, weights by name"):
        reader_tokenizer(str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="are no words of the story"):
        make("babi_spans", tasks=(6,))
    with pytest.raises(UserError, match="stride is 0"):
        make("babi_spans", stride=0)


def test_a_picture_of_samples_needs_no_sizes_known_beforehand(tmp_path):
    from aimodels.data.pictures import save_samples_picture

    save_samples_picture(make("babi_spans", tasks=(4,), size=30), tmp_path / "spans.png")
    assert (tmp_path / "spans.png").stat().st_size > 1000
