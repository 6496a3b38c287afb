"""word2vec and GloVe: losses, updates and what is drawn, against the formulas of the papers."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import aimodels
from aimodels.config import resolve
from aimodels.errors import UserError
from aimodels.models.word_vectors import GloVe, Word2Vec
from aimodels.tasks import glove, word2vec, word_metrics
from aimodels.tasks.word2vec import CBOW, SkipGram

COUNTS = np.array([400, 200, 100, 50, 20, 10, 5])


def task_of(cls, **fields):
    """A task on words of those counts, with blocks of 4 and 3 negatives each."""
    given = {"window": 2, "block": 4, "shared": 3, "sample": 0.0, **fields}
    dataset = types.SimpleNamespace(counts=COUNTS)
    return cls(Word2Vec(vocabulary=len(COUNTS), width=6), dataset, 100, **given)


def random_params(seed=0):
    keys = jax.random.split(jax.random.key(seed), 2)
    shape = (len(COUNTS), 6)
    names = ("words", "contexts")
    return {n: 0.3 * jax.random.normal(k, shape) for n, k in zip(names, keys, strict=True)}


def test_sub_sampling_keeps_the_shares_of_the_formula():
    keeps = word2vec.keep_probabilities(COUNTS, 1e-2)
    frequency = COUNTS / COUNTS.sum()
    expected = np.sqrt(1e-2 / frequency) + 1e-2 / frequency
    np.testing.assert_allclose(keeps, np.minimum(expected, 1), rtol=1e-6)  # float32
    assert word2vec.keep_probabilities(COUNTS, 0).tolist() == [1] * len(COUNTS)
    task = task_of(SkipGram, sample=1e-2)
    text = np.random.default_rng(0).choice(len(COUNTS), 20_000, p=frequency).astype(np.int32)
    batch = {"inputs": text[None], "segments": np.zeros((1, len(text)), np.int32)}
    drawn = jax.jit(task.drawn)(batch, jax.random.key(1))
    valid = np.asarray(drawn.pairs.any(-1)).reshape(-1)  # each has one beside it
    found = np.bincount(np.asarray(drawn.words)[valid], minlength=len(COUNTS))
    # Each occurrence is kept by a coin of its own: the sum of squared standard scores is χ².
    occurrences = np.bincount(text, minlength=len(COUNTS))
    some = keeps < 1
    mean, variance = occurrences * keeps, occurrences * keeps * (1 - keeps)
    chi = (np.square(found - mean)[some] / variance[some]).sum()
    assert stats.chi2.sf(chi, some.sum()) > 1e-3
    np.testing.assert_array_equal(found[~some], occurrences[~some])


def test_negatives_have_the_shares_of_the_noise():
    thresholds = jnp.asarray(word2vec.noise_thresholds(COUNTS))
    drawn = word2vec.draw_noise(jax.random.key(0), thresholds, (100, 200))
    shares = COUNTS**0.75 / (COUNTS**0.75).sum()
    found = np.bincount(np.asarray(drawn).reshape(-1), minlength=len(COUNTS))
    assert stats.chisquare(found, shares * found.sum()).pvalue > 1e-3
    uniform = COUNTS / COUNTS.sum()
    assert stats.chisquare(found, uniform * found.sum()).pvalue < 1e-9  # it can fail


def test_what_is_kept_stands_in_its_order():
    keep = jnp.array([False, True, True, False, True])
    places, valid = word2vec.compacted(keep, 4)
    assert np.asarray(places)[np.asarray(valid)].tolist() == [1, 2, 4]
    assert np.asarray(word2vec.compacted(keep, 2)[0]).tolist() == [1, 2]


def test_pairs_are_those_within_the_window_and_the_sentence():
    segments = jnp.array([1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 0])
    radii = jnp.array([1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2])
    block, window = 4, 2
    pairs = np.asarray(word2vec.pairs_of(segments, radii, block, window))
    numbers = np.asarray(word2vec.neighbourhoods(jnp.arange(1, 13), block, window)) - 1
    found = {(n * block + i, int(numbers[n, j])) for n, i, j in np.argwhere(pairs)}
    expected = {
        (i, j)
        for i in range(12)
        for j in range(12)
        if 0 < abs(i - j) <= radii[i] and segments[i] == segments[j] != 0
    }
    assert found == expected


@pytest.mark.parametrize("cls", [SkipGram, CBOW])
def test_a_step_goes_down_the_gradient_of_the_loss(cls):
    task, params = task_of(cls, negatives=4), random_params()
    key = jax.random.key(3)
    batch = {
        "inputs": jax.random.randint(key, (2, 8), 0, len(COUNTS)),
        "segments": jnp.array([[0] * 5 + [1] * 3, [1] * 8]),
    }
    drawn = task.drawn(batch, key)
    pairs = drawn.pairs
    around = lambda table: word2vec.neighbourhoods(table[drawn.words], 4, 2)  # noqa: E731
    blocks = lambda table: table[drawn.words].reshape(-1, 4, 6)  # noqa: E731

    def loss(params):
        words, contexts = params["words"], params["contexts"]
        noise = contexts[drawn.noise]
        if cls is SkipGram:
            return word2vec.skip_gram_loss(blocks(words), around(contexts), noise, pairs, 4)
        sizes = pairs.sum(-1, keepdims=True)
        # word2vec.c: the sum's gradient at the mean's value.
        sums = jnp.einsum("nij,njd->nid", pairs, around(words))
        means = sums - jax.lax.stop_gradient(sums - sums / jnp.maximum(sizes, 1))
        return word2vec.cbow_loss(means, blocks(contexts), noise, sizes[..., 0] > 0, 4)

    rate = 1e-3  # no row reaches further than 1 by it
    after, reported = task.updated(params, drawn, jnp.float32(rate))
    gradients = jax.grad(loss)(params)
    for name, table in params.items():
        step = (np.asarray(after[name]) - table) / -rate
        # The table's last bits, 3e-8, over the rate.
        np.testing.assert_allclose(step, gradients[name], rtol=1e-3, atol=1e-4)
    number = (pairs if cls is SkipGram else pairs.any(-1)).sum()
    np.testing.assert_allclose(reported.compute() * number, loss(params), rtol=1e-5)


def test_the_loss_of_a_pair_is_that_of_the_paper_by_hand():
    w, c, n = np.array([1.0, 2.0]), np.array([0.5, -1.0]), np.array([[0.2, 0.1], [0.0, 0.3]])
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    expected = -np.log(sigmoid(c @ w)) - 3 * np.mean(np.log(sigmoid(-n @ w)))
    pairs = jnp.array([[[False, True, False]]])
    contexts = jnp.stack([jnp.zeros(2), jnp.asarray(c), jnp.zeros(2)])[None]
    found = word2vec.skip_gram_loss(
        jnp.asarray(w)[None, None], contexts, jnp.asarray(n)[None], pairs, 3
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # float32


def test_a_row_of_many_pairs_is_not_overshot():
    table, ids = jnp.zeros((3, 2)), jnp.zeros(1000, jnp.int32)
    gradients = jnp.ones((1000, 2))
    after = word2vec.ascended(table, [(ids, gradients, jnp.full(1000, 2.0))], jnp.float32(0.1))
    # 1,000 of rate 0.1 and reach 2: the step is divided by 200.
    np.testing.assert_allclose(after[0], [0.5, 0.5], rtol=1e-5)  # float32 sums of 1,000
    assert not np.asarray(after[1:]).any()


def test_glove_weighs_and_differs_as_the_paper_says():
    values = jnp.array([1.0, 50.0, 100.0, 5000.0])
    found = glove.weights_of(values)
    np.testing.assert_allclose(found, [0.01**0.75, 0.5**0.75, 1, 1], rtol=1e-6)  # float32
    loss = glove.glove_loss(
        jnp.array([[1.0, 2.0]]),
        jnp.array([[3.0, -1.0]]),
        jnp.array([0.5]),
        jnp.array([0.25]),
        jnp.array([50.0]),
        jnp.array([0.5**0.75]),
    )
    np.testing.assert_allclose(loss, 0.5 * 0.5**0.75 * (1.75 - np.log(50)) ** 2, rtol=1e-6)


def test_glove_steps_are_adagrad_on_the_rows_of_the_batch():
    dataset = types.SimpleNamespace(counts=COUNTS)
    task = glove.GloVe(GloVe(vocabulary=len(COUNTS), width=3), dataset, 10)
    batch = {"inputs": jnp.array([[0, 1], [0, 2]]), "targets": jnp.array([5.0, 7.0])}
    state = task.init(jax.random.key(0), batch)

    def loss(params):
        i, j = batch["inputs"].T
        return glove.glove_loss(
            params["words"][i],
            params["contexts"][j],
            params["word_biases"][i],
            params["context_biases"][j],
            batch["targets"],
            glove.weights_of(batch["targets"]),
        )

    # As glove.c has it: `temp = eta * gradient`, `W -= temp / sqrt(gradsq)`, `gradsq += temp²`.
    each = jax.jacobian(loss)(state.params)
    first = {name: jnp.full_like(value, 1.5) for name, value in state.optimizer_state.items()}
    start = dataclasses.replace(state, optimizer_state=first)
    after, _ = jax.jit(task.train_step)(start, batch, jax.random.key(1))
    for name, of_pairs in each.items():
        steps = 0.05 * np.asarray(of_pairs)
        expected = state.params[name] - steps.sum(0) / np.sqrt(1.5)
        squares = 1.5 + np.square(steps).sum(0)
        np.testing.assert_allclose(after.optimizer_state[name], squares, rtol=1e-6)
        np.testing.assert_allclose(after.params[name], expected, rtol=1e-5, atol=1e-7)
    assert all((value == 1).all() for value in state.optimizer_state.values())
    assert (after.params["words"][1:] == state.params["words"][1:]).all()


def test_analogies_leave_out_the_words_that_are_given():
    table = jnp.array([[1.0, 0], [1, 1], [0, 1], [0.9, 1.1], [-1, 0.5]])
    # Directions: 2 · (0.71, 0.71) - (1, 0) = (0.41, 1.41), by which 2 has 1.41 and 3 has 1.36.
    assert word_metrics.answers(table, jnp.array([[0, 1, 1]])).tolist() == [2]
    # (0, 1) - (1, 0) + (0.71, 0.71) = (-0.29, 1.71): 2 has 1.71 but is given; 3 has 1.14.
    assert word_metrics.answers(3 * table, jnp.array([[0, 2, 1]])).tolist() == [3]


def test_spearman_is_scipys_with_ties_and_padding():
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 9, 50).astype(np.float32), rng.normal(size=50).astype(np.float32)
    valid = np.arange(50) < 40
    found = word_metrics.spearman(jnp.asarray(left), jnp.asarray(right), jnp.asarray(valid))
    expected = stats.spearmanr(left[:40], right[:40]).statistic
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32
    parts = [
        word_metrics.RankCorrelation.from_model_output(
            outputs=jnp.asarray(left[at]),
            targets=jnp.asarray(right[at]),
            mask=jnp.asarray(valid[at]),
        )
        for at in (slice(0, 20), slice(20, 50))
    ]
    np.testing.assert_allclose(parts[0].merge(parts[1]).compute(), expected, rtol=1e-5)


TOPICS = (("cat", "dog", "cow", "pig"), ("red", "blue", "green", "pink"), ("one", "two", "six"))


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    """3,000 sentences, each of the words of one topic."""
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(TOPICS[rng.integers(3)], 8)) for _ in range(1500)]
    file = tmp_path_factory.mktemp("text") / "topics.txt"
    file.write_text("\n".join(lines))
    return file


@pytest.mark.parametrize("name", ["skip_gram", "cbow", "glove"])
def test_words_of_one_topic_become_neighbours(name, text_file, tmp_path):
    counting = name == "glove"
    data = {"name": "cooccurrences" if counting else "words", "corpus": str(text_file)}
    task = {"name": name} if counting else {"name": name, "sample": 0.0, "block": 8, "shared": 8}
    config = {
        "data": data if counting else data | {"length": 100},
        "model": {"name": "GloVe" if counting else "Word2Vec", "vocabulary": 11, "width": 8},
        "task": task,
        "training": {"steps": 400 if counting else 200, "batch_size": 16 if counting else 2},
        "evaluation": {"splits": ()},
    }
    aimodels.train(resolve(config), tmp_path / "run", verbose=False)
    from aimodels.training.neighbours import word_vectors

    vectors = word_vectors(tmp_path / "run")
    for topic in TOPICS:
        for word in topic:
            near = {other for other, _ in vectors.nearest(word, len(topic) - 1)}
            assert near == set(topic) - {word}
    out = tmp_path / "vectors.txt"
    vectors.save(out)
    head, *lines = out.read_text().splitlines()
    assert head == "11 8"
    read = {line.split()[0]: np.array(line.split()[1:], np.float32) for line in lines}
    assert tuple(read) == vectors.words
    np.testing.assert_array_equal(np.stack(list(read.values())), vectors.table)
    with pytest.raises(UserError, match="'cta' is not among the 11 known; near ones: cat"):
        vectors.nearest("cta")
    config["model"]["vocabulary"] = 12
    with pytest.raises(UserError, match=r"model\.vocabulary=11"):
        aimodels.train(resolve(config), tmp_path / "other", verbose=False)
