"""word2vec: continuous bag of words and skip-gram, with negative sampling.

Mikolov, Chen, Corrado & Dean, "Efficient estimation of word representations in vector space", 2013
(the two models); Mikolov, Sutskever, Chen, Corrado & Dean, "Distributed representations of words
and phrases and their compositionality", 2013 (negative sampling, eq. 4; sub-sampling, eq. 5).
Sub-sampling, the decay of the learning rate and the update of CBOW are those of their program,
word2vec.c, which gensim follows too.

A step computes many words at once by products of matrices: those that are left of the batch stand
in one row, which is cut into blocks; the words of a block share their negatives (Ji, Satish, Li &
Dubey, "Parallelizing word2vec in shared and distributed memory", 2016), each with a weight such
that every pair has its k in expectation.

Shapes: B stretches of T tokens, C tokens that are left of them, n blocks of L, window W, N
negatives of a block, D the width, V words.
"""

import abc
import dataclasses
import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.errors import UserError
from aimodels.tasks.base import Batch, Params, State
from aimodels.tasks.word_vectors import WordVectorTask, of_all_devices

Array = jax.Array


def keep_probabilities(counts: np.ndarray, sample: float) -> np.ndarray:
    """The share of each word's occurrences that is trained on, float32 [V].

    min(1, sqrt(t / f) + t / f) for a word that is the share f of the text: word2vec.c's; eq. 5 of
    the paper has the first term alone.

    Args:
      counts: of each word, [V].
      sample: t; 0 keeps all.
    """
    if not sample:
        return np.ones(len(counts), np.float32)
    ratio = sample * counts.sum() / counts
    return np.minimum(np.sqrt(ratio) + ratio, 1).astype(np.float32)


def noise_thresholds(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """Where each word's share of the noise ends, as a part of 2³², uint32 [V].

    The word of 32 random bits r is the first whose threshold is above r. Shares are those of
    counts^power, the paper's U(w)^(3/4) / Z.
    """
    shares = counts.astype(np.float64) ** power
    ends = np.cumsum(shares) / shares.sum() * 2.0**32
    return np.minimum(ends, 2.0**32 - 1).astype(np.uint32)


def draw_noise(key: Array, thresholds: Array, shape: tuple[int, ...]) -> Array:
    """Words drawn from the noise, int32 of that shape; see `noise_thresholds`."""
    bits = jax.random.bits(key, shape, jnp.uint32)
    words = jnp.searchsorted(thresholds, bits, side="right")
    return jnp.minimum(words, len(thresholds) - 1).astype(jnp.int32)


def compacted(keep: Array, capacity: int) -> tuple[Array, Array]:
    """Where the tokens that are kept stand, in their order, int32 [C], and which of C there are.

    Args:
      keep: bool [N].
      capacity: C; of more that are kept the last ones are left out.
    """
    total = jnp.cumsum(keep, dtype=jnp.int32)
    places = jnp.searchsorted(total, jnp.arange(1, capacity + 1))
    return jnp.minimum(places, len(keep) - 1), jnp.arange(capacity) < total[-1]


def neighbourhoods(row: Array, block: int, window: int) -> Array:
    """A row [C, ...] as blocks with the window on both sides of each, [n, W + L + W, ...]."""
    blocks = row.reshape(-1, block, *row.shape[1:])
    nothing = jnp.zeros_like(blocks[:1])
    before = jnp.concatenate([nothing, blocks[:-1]])[:, block - window :]
    after = jnp.concatenate([blocks[1:], nothing])[:, :window]
    return jnp.concatenate([before, blocks, after], 1)


def pairs_of(segments: Array, radii: Array, block: int, window: int) -> Array:
    """Which words are in the window of which, bool [n, L, W + L + W].

    Args:
      segments: the sentence of each word, int32 [C], from 1 on; 0 where there is no word.
      radii: how far the window of each reaches, int32 [C], 1 to W.
      block: L.
      window: W.
    """
    distance = np.abs(np.arange(block + 2 * window) - window - np.arange(block)[:, None])
    own = segments.reshape(-1, block, 1)
    same = (own == neighbourhoods(segments, block, window)[:, None]) & (own > 0)
    return same & (distance > 0) & (distance <= radii.reshape(-1, block, 1))


def skip_gram_loss(
    centres: Array, contexts: Array, noise: Array, pairs: Array, negatives: float
) -> Array:
    """Σ over pairs of -log σ(c · w) - k E[log σ(-n · w)], eq. 4, the mean over a block's noise.

    Args:
      centres: vectors w of the words, [n, L, D].
      contexts: vectors c of words in contexts, [n, W + L + W, D].
      noise: vectors n of a block's negatives, [n, N, D].
      pairs: which there are, bool [n, L, W + L + W].
      negatives: k.
    """
    scores, against = _scores(centres, contexts, noise)
    number = pairs.sum(-1, keepdims=True) * negatives / noise.shape[1]
    positive = jnp.where(pairs, jax.nn.softplus(-scores), 0).sum()
    return positive + (number * jax.nn.softplus(against)).sum()


def cbow_loss(means: Array, targets: Array, noise: Array, valid: Array, negatives: float) -> Array:
    """Σ over words of -log σ(w · h) - k E[log σ(-n · h)], the mean over a block's noise.

    Args:
      means: of the vectors in the context of each word, h, [n, L, D].
      targets: vectors w of the words as they are predicted, [n, L, D].
      noise: of a block's negatives n, [n, N, D].
      valid: bool [n, L], False for a word without a context.
      negatives: k.
    """
    scores = (means * targets).sum(-1)
    against = jnp.einsum("nid,njd->nij", means, noise)
    number = valid[..., None] * negatives / noise.shape[1]
    positive = jnp.where(valid, jax.nn.softplus(-scores), 0).sum()
    return positive + (number * jax.nn.softplus(against)).sum()


def _scores(centres: Array, contexts: Array, noise: Array) -> tuple[Array, Array]:
    return (
        jnp.einsum("nid,njd->nij", centres, contexts),
        jnp.einsum("nid,njd->nij", centres, noise),
    )


def _sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x); XLA's CPU code for tanh is many times as fast as that for it."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


@flax.struct.dataclass
class SampledLoss:
    """The loss of a pair, computed where it is reported. Fields: scores and their weights."""

    scores: Array
    weights: Array
    against: Array
    against_weights: Array

    def compute(self) -> Array:
        """The mean loss of a pair: with vectors of zeros (1 + k) log 2."""
        positive = (self.weights * jax.nn.softplus(-self.scores)).sum()
        negative = (self.against_weights * jax.nn.softplus(self.against)).sum()
        return (positive + negative) / jnp.maximum(self.weights.sum(), 1)


@flax.struct.dataclass
class _Drawn:
    """What a step is computed of: words [C], negatives [n, N], pairs [n, L, W + L + W]."""

    words: Array
    noise: Array
    pairs: Array


@dataclasses.dataclass(frozen=True)
class _Word2VecTask(WordVectorTask):
    """What skip-gram and CBOW share.

    Attributes:
      learning_rate: of the first step; it falls in a line.
      final_learning_rate: that of the last step, and the smallest.
      window: the largest distance W of words that are a pair; each word's own is drawn evenly from
        1 to W.
      negatives: k, noise words for each pair.
      sample: threshold t of the sub-sampling of frequent words; 0 for none.
      block: L, words that share negatives; at least W.
      shared: N, negatives of a block.
    """

    learning_rate: float = 0.025
    final_learning_rate: float = 1e-4
    window: int = 5
    negatives: int = 5
    sample: float = 1e-3
    block: int = 32
    shared: int = 32

    def __post_init__(self) -> None:
        for field in ("window", "negatives", "shared"):
            if getattr(self, field) < 1:
                raise UserError(f"task.{field} is {getattr(self, field)}; it takes 1 or more")
        if self.block < self.window:
            raise UserError(f"task.block is {self.block}; it takes {self.window} (task.window) on")

    def rate_at(self, step: Array) -> Array:
        """The learning rate of a step."""
        done = step / self.total_steps
        falling = self.learning_rate + (self.final_learning_rate - self.learning_rate) * done
        return jnp.maximum(falling, self.final_learning_rate)

    def drawn(self, batch: Batch, key: Array) -> _Drawn:
        """Sub-samples the batch, draws the windows and the negatives."""
        keep_key, window_key, noise_key = jax.random.split(key, 3)
        counts = self.known_words().counts
        tokens = batch["inputs"].reshape(-1)
        keeps = keep_probabilities(counts, self.sample)
        chance = jax.random.uniform(keep_key, tokens.shape)
        keep = (tokens >= 0) & (chance < jnp.asarray(keeps)[jnp.maximum(tokens, 0)])
        capacity = self.capacity(len(tokens), float(counts @ keeps / counts.sum()))
        places, valid = compacted(keep, capacity)
        # Two stretches are never of one sentence: they need not stand side by side in the text.
        segments = jnp.where(valid, _numbered(batch["segments"])[places], 0)
        radii = jax.random.randint(window_key, (capacity,), 1, self.window + 1)
        thresholds = jnp.asarray(noise_thresholds(counts))
        return _Drawn(
            words=jnp.where(valid, tokens[places], 0),
            noise=draw_noise(noise_key, thresholds, (capacity // self.block, self.shared)),
            pairs=pairs_of(segments, radii, self.block, self.window),
        )

    def capacity(self, tokens: int, share: float) -> int:
        """C, a multiple of the block: what sub-sampling leaves of so many tokens, and room."""
        expected = tokens * share
        room = 0.02 * expected + 4 * math.sqrt(expected)  # a text is not evenly mixed
        return -(-min(math.ceil(expected + room), tokens) // self.block) * self.block

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """One step of gradient descent on the sum of the losses of the batch's pairs."""
        rate = self.rate_at(state.step)
        params, loss = self.updated(state.params, self.drawn(batch, key), rate)
        params = of_all_devices(state.params, params)
        state = dataclasses.replace(state, step=state.step + 1, params=params)
        return state, {"loss": loss, "learning_rate": rate}

    @abc.abstractmethod
    def updated(self, params: Params, drawn: _Drawn, rate: Array) -> tuple[Params, SampledLoss]:
        """The tables after a step, and its loss."""


@dataclasses.dataclass(frozen=True)
class SkipGram(_Word2VecTask):
    """Predicts from each word those around it."""

    def updated(self, params: Params, drawn: _Drawn, rate: Array) -> tuple[Params, SampledLoss]:
        """The gradient of `skip_gram_loss`, on the rows of the batch's words and negatives."""
        words, contexts = params["words"], params["contexts"]
        centres = words[drawn.words].reshape(-1, self.block, words.shape[-1])
        around, back = jax.vjp(self._around, contexts[drawn.words])
        noise = contexts[drawn.noise]
        scores, against = _scores(centres, around, noise)
        pairs = drawn.pairs.astype(words.dtype)
        number = pairs.sum(-1, keepdims=True) * self.negatives / self.shared
        number = jnp.broadcast_to(number, against.shape)
        p, q = _sigmoid(scores), _sigmoid(against)
        up, down = pairs * (1 - p), -number * q
        of_words = jnp.einsum("nij,njd->nid", up, around)
        of_words += jnp.einsum("nij,njd->nid", down, noise)
        (of_contexts,) = back(jnp.einsum("nij,nid->njd", up, centres))
        of_noise = jnp.einsum("nij,nid->njd", down, centres)
        lengths = _squares(centres)
        reach = jnp.einsum("nij,nj->ni", up, _squares(around))
        reach -= jnp.einsum("nij,nj->ni", down, _squares(noise))
        (reach_contexts,) = jax.linear_transpose(self._around, drawn.words.astype(p.dtype))(
            jnp.einsum("nij,ni->nj", up, lengths)
        )
        reach_noise = -jnp.einsum("nij,ni->nj", down, lengths)
        params = {
            "words": ascended(words, [(drawn.words, of_words, reach)], rate),
            "contexts": ascended(
                contexts,
                [(drawn.words, of_contexts, reach_contexts), (drawn.noise, of_noise, reach_noise)],
                rate,
            ),
        }
        return params, SampledLoss(scores, pairs, against, number)

    def _around(self, row: Array) -> Array:
        return neighbourhoods(row, self.block, self.window)


@dataclasses.dataclass(frozen=True)
class CBOW(_Word2VecTask):
    """Predicts each word from the mean of those around it.

    As in word2vec.c, each of those gets the whole gradient of the mean, not its share of it.
    """

    learning_rate: float = 0.05

    def updated(self, params: Params, drawn: _Drawn, rate: Array) -> tuple[Params, SampledLoss]:
        """The gradient of `cbow_loss`, on the rows of the batch's words and negatives."""
        words, contexts = params["words"], params["contexts"]
        around = self._around(words[drawn.words])
        pairs = drawn.pairs.astype(words.dtype)
        sizes = pairs.sum(-1, keepdims=True)
        means = jnp.einsum("nij,njd->nid", pairs / jnp.maximum(sizes, 1), around)
        targets = contexts[drawn.words].reshape(means.shape)
        noise = contexts[drawn.noise]
        valid = (sizes > 0).astype(words.dtype)
        scores = (means * targets).sum(-1, keepdims=True)
        against = jnp.einsum("nid,njd->nij", means, noise)
        number = jnp.broadcast_to(valid * self.negatives / self.shared, against.shape)
        p, q = _sigmoid(scores), _sigmoid(against)
        up, down = valid * (1 - p), -number * q
        of_means = up * targets + jnp.einsum("nij,njd->nid", down, noise)
        reach_means = up[..., 0] * _squares(targets)
        reach_means -= jnp.einsum("nij,nj->ni", down, _squares(noise))
        lengths = _squares(means)
        # The mean's gradient goes to all of its words, and with it how far it reaches.
        both = jnp.concatenate([of_means, reach_means[..., None]], -1)
        shape = jax.ShapeDtypeStruct((drawn.words.size, both.shape[-1]), both.dtype)
        (of_words,) = jax.linear_transpose(self._around, shape)(
            jnp.einsum("nij,nid->njd", pairs, both)
        )
        of_noise = jnp.einsum("nij,nid->njd", down, means)
        reach_noise = -jnp.einsum("nij,ni->nj", down, lengths)
        params = {
            "words": ascended(words, [(drawn.words, of_words[:, :-1], of_words[:, -1])], rate),
            "contexts": ascended(
                contexts,
                [
                    (drawn.words, up * means, up[..., 0] * lengths),
                    (drawn.noise, of_noise, reach_noise),
                ],
                rate,
            ),
        }
        return params, SampledLoss(scores, valid, against, number)

    def _around(self, row: Array) -> Array:
        return neighbourhoods(row, self.block, self.window)


def ascended(table: Array, parts: list[tuple[Array, Array, Array]], rate: Array) -> Array:
    """The table [V, D] after a step uphill on some rows, none of which is overshot.

    word2vec updates a row pair by pair, each time from where it has come to. Here all pairs of a
    batch are added up, and a row of very many would swing to and fro. Its step moves the scores of
    its pairs by rate x reach at most, where the reach is Σ |g| |u|² over its pairs, g the
    derivative by a pair's score and u the other vector; where that is more than 1, the step is
    divided by it.

    Args:
      table: [V, D].
      parts: ids of rows [...], the gradient of each [..., D], its share of the reach [...]. A row
        may come several times.
      rate: the learning rate.
    """
    reaches = jnp.zeros(len(table), table.dtype)
    for ids, _, reach in parts:
        reaches = reaches.at[ids.reshape(-1)].add(reach.reshape(-1))
    rates = rate / jnp.maximum(1, rate * reaches)
    for ids, gradients, _ in parts:
        ids, gradients = ids.reshape(-1), gradients.reshape(-1, table.shape[-1])
        table = table.at[ids].add(rates[ids][:, None] * gradients)
    return table


def _squares(vectors: Array) -> Array:
    """The squared lengths of vectors [..., D]."""
    return jnp.square(vectors).sum(-1)


def _numbered(segments: Array) -> Array:
    """Sentences [B, T] numbered from 1 on, of each stretch anew, [B · T]."""
    begins = jnp.ones(segments.shape, bool).at[:, 1:].set(segments[:, 1:] != segments[:, :-1])
    return jnp.cumsum(begins.reshape(-1), dtype=jnp.int32)
