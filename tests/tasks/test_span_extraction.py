"""Answers as spans: SQuAD's rules by hand, the best span by brute force, windows, no answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.tasks.span_extraction import SpanExtraction, best_spans
from aimodels.tasks.span_metrics import (
    answer_scores,
    best_of_windows,
    exact_match,
    f1,
    normalized,
    span_metrics_of,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Eiffel  Tower!", "eiffel tower"),
        ("an apple, a day", "apple day"),
        ("theatre", "theatre"),
        ("Super Bowl 50's", "super bowl 50s"),
        ("24\u201310", "24\u201310"),  # the dash is none of ASCII's marks
        ("The", ""),
        ("U.S.A.", "usa"),
    ],
)
def test_normalization_is_that_of_squads_script(text, expected):
    assert normalized(text) == expected


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "overlap"),
    [
        ("the Denver Broncos", "Denver Broncos.", 1, 1),
        ("Denver", "Denver Broncos", 0, 2 / 3),  # precision 1, recall 1/2
        ("in the city of Santa Clara", "Santa Clara, California", 0, 2 * 0.4 * (2 / 3) / (16 / 15)),
        ("red red blue", "red blue blue", 0, 2 / 3),  # red and blue once each: 2/3 and 2/3
        ("north", "south", 0, 0),
        ("", "Denver", 0, 0),
        ("", "", 1, 1),
        ("Denver", "", 0, 0),
    ],
)
def test_exact_match_and_f1_by_hand(answer, reference, exact, overlap):
    assert exact_match(answer, reference) == exact
    assert f1(answer, reference) == pytest.approx(overlap, abs=1e-12)


def test_the_best_reference_counts_and_questions_are_averaged():
    answers = ["Denver", "none of it", ""]
    references = [("the Broncos", "Denver Broncos", "Denver, Colorado"), ("none",), ()]
    # 0, 2/3; 0, 2 · 1/3 · 1 / (4/3) = 1/2; no answer, and none is said: 1, 1.
    found = answer_scores(answers, references)
    assert found["exact_match"] == pytest.approx(100 / 3)
    assert found["f1"] == pytest.approx(100 * (2 / 3 + 1 / 2 + 1) / 3)
    with pytest.raises(UserError, match="3 answers and 2 references"):
        answer_scores(answers, references[:2])


def test_the_best_span_is_that_of_a_search_over_all():
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(40, 12, 2)).astype(np.float32)
    starts, lengths = draw.integers(1, 6, 40), draw.integers(8, 13, 40)
    spans = jax.jit(best_spans, static_argnums=3)(logits, starts, lengths, 4)
    for row in range(40):
        known = {
            (i, j): logits[row, i, 0] + logits[row, j, 1]
            for i in range(starts[row], lengths[row] - 1)
            for j in range(i, min(i + 4, lengths[row] - 1))
        }
        best = max(known, key=lambda pair: known[pair])
        assert (spans.start[row], spans.end[row]) == best
        np.testing.assert_allclose(spans.score[row], known[best], rtol=1e-6)
        np.testing.assert_allclose(spans.null[row], logits[row, 0].sum(), rtol=1e-6)


def test_a_window_without_text_has_no_span():
    spans = best_spans(jnp.zeros((1, 6, 2)), jnp.array([3]), jnp.array([4]), 30)
    assert spans.score[0] == -jnp.inf
    chosen = best_of_windows(
        *(np.asarray(x) for x in (spans.start, spans.end, spans.score, spans.null, [7])),
        null_threshold=None,
    )
    assert chosen == {7: None}


def test_windows_of_a_question_compete_and_the_lowest_null_counts():
    given = {
        "first": np.array([1, 5, 2, 9]),
        "last": np.array([2, 6, 2, 9]),
        "score": np.array([1.0, 3.0, 0.5, 2.0]),
        "null": np.array([4.0, 2.0, 1.0, 9.0]),
        "number": np.array([8, 8, 3, 4]),
    }
    assert best_of_windows(**given, null_threshold=None) == {8: (5, 6), 3: (2, 2), 4: (9, 9)}
    # Question 8: 2 < 3; question 3: 1 > 0.5; question 4: 9 > 2.
    assert best_of_windows(**given, null_threshold=0.0) == {8: (5, 6), 3: None, 4: None}
    assert best_of_windows(**given, null_threshold=1.0) == {8: (5, 6), 3: (2, 2), 4: None}


class Words:
    """Texts whose tokens are their words; a question's number is its row."""

    texts = (("red green blue", ("green blue",)), ("one two", ()), ("up down", ("down", "up")))

    def answers(self, number):
        """The right ones."""
        return self.texts[number][1]

    def answer(self, number, first, last):
        """The words between."""
        return " ".join(self.texts[number][0].split()[first : last + 1])


def test_metrics_are_of_questions_however_batches_cut_their_windows():
    fields = {
        "first": jnp.array([1, 0, 0, 0, 1]),
        "last": jnp.array([2, 0, 1, 0, 1]),
        "score": jnp.array([2.0, 1.0, 0.0, 5.0, 1.0]),
        "null": jnp.array([0.0, 0.0, 1.0, 0.0, 0.0]),
        "number": jnp.array([0, 0, 1, 2, 2]),
        "loss": jnp.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        "mask": jnp.array([True, True, True, True, False]),
    }
    metrics = span_metrics_of(Words(), 0.0)

    def part(rows):
        return metrics.single_from_model_output(**{k: v[rows] for k, v in fields.items()})

    whole = part(slice(None)).compute()
    split = part(slice(0, 1)).merge(part(slice(1, 5))).compute()
    assert jax.tree.map(float, whole) == jax.tree.map(float, split)
    # "green blue" is right, no answer is right, and so is "up".
    assert {name: float(x) for name, x in whole["answers"].items()} == {
        "exact_match": 100,
        "f1": 100,
    }
    assert whole["loss"] == 2.5
    always = span_metrics_of(Words(), None)
    found = always.single_from_model_output(**fields).compute()["answers"]
    assert float(found["exact_match"]) == pytest.approx(200 / 3)
    nothing = fields | {"mask": jnp.zeros(5, bool)}
    assert np.isnan(always.single_from_model_output(**nothing).compute()["answers"]["f1"])


def test_the_loss_is_the_mean_of_both_ends_over_valid_places():
    task = SpanExtraction(model=None, optimizer=None)
    outputs = jnp.array([[[1.0, 0.0], [2.0, 1.0], [0.0, 3.0], [9.0, 9.0]]])
    batch = {"targets": jnp.array([[1, 2]]), "lengths": jnp.array([3])}
    start = np.log(np.exp([1, 2, 0]).sum()) - 2
    end = np.log(np.exp([0, 1, 3]).sum()) - 3
    np.testing.assert_allclose(task.loss(outputs, batch), [(start + end) / 2], rtol=1e-6)
    gradient = jax.grad(lambda x: task.loss(x, batch).sum())(outputs)
    assert np.isfinite(gradient).all()
    assert not gradient[0, 3].any()


def test_wrong_fields_and_data_are_told():
    with pytest.raises(UserError, match="longest_answer is 0"):
        SpanExtraction(model=None, optimizer=None, longest_answer=0)
    with pytest.raises(UserError, match="babi_spans or tfds_squad"):
        SpanExtraction(model=None, optimizer=None, data_set=object())
