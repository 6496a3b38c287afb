"""Memory networks: sentences kept side by side, and read several times to answer a question."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class EndToEndMemoryNetwork(nn.Module):
    """Sukhbaatar et al., "End-to-end memory networks", NeurIPS 2015, sections 2 and 4.1.

    K hops over a memory of sentences, m_i = Σ_j l_j · A x_ij + T_A(i) and c_i the same by C and
    T_C; p = softmax(uᵀ m), u ← u + Σ_i p_i c_i; the answer is W u. Weights are tied as "adjacent":
    A of a hop is C of the one before, the question has the first A, and Wᵀ is the last C. So there
    are K + 1 tables [V, D] of words and as many [M, D] of times, and nothing else; all begin as
    N(0, 0.1²).

    The memory has `memory` places. Those without a sentence have m = c = 0 and take their share of
    the softmax, so that a hop may read nothing: so it is in the authors' code (MemN2N-babi-matlab),
    and without it test errors are several times as high.

    T counts sentences back from the question. Where it trains, `empty_rate` of the memories that it
    counts are empty ones put in between ("random noise" of the paper, which makes times vary); here
    they are counted, but not read.

    Attributes:
        vocabulary: V, of words and answers; the word 0 is padding, whose vector is 0.
        width: D.
        num_hops: K.
        memory: M, the most sentences; those that are farther back have the last time.
        position_encoding: l_kj = 2 (1 - j / J) - 2 (k / D)(1 - 2j / J) for word j of J, the paper's
            twice: so it is 1 in the mean, as in the authors' code. Else 1.
        empty_rate: see above; needs the rng stream "dropout".
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    vocabulary: int
    width: int = 20
    num_hops: int = 3
    memory: int = 50
    position_encoding: bool = True
    empty_rate: float = 0.1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        *,
        questions: jax.Array,
        lengths: jax.Array | None = None,
        linear: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """The answers' logits, [B, V].

        Args:
            inputs: ids of the words of sentences [B, M, S], the most recent of them last.
            questions: ids [B, S].
            lengths: how many sentences there are, [B]; all when None.
            linear: [B], where the attention is uᵀ m itself, without the softmax ("linear start").
            train: times vary by `empty_rate`.
        """
        B, M, _ = inputs.shape
        normal = nn.initializers.normal(0.1)
        words = self.param(
            "words", normal, (self.num_hops + 1, self.vocabulary, self.width), self.param_dtype
        )
        times = self.param(
            "times", normal, (self.num_hops + 1, self.memory, self.width), self.param_dtype
        )
        words, times = words.astype(self.dtype), times.astype(self.dtype)
        lengths = jnp.full(B, M) if lengths is None else lengths
        places = jnp.arange(M)
        there = places < lengths[:, None]
        back = self._back(lengths[:, None] - 1 - places, there, train=train)

        def vectors(table: jax.Array, ids: jax.Array) -> jax.Array:
            """[..., S] -> [..., D]: the sum of a sentence's words."""
            found = table[ids] * (ids > 0)[..., None]
            return (found * self._weights(ids)).sum(-2)

        empty = jnp.maximum(self.memory - lengths, 0)
        nothing = jnp.log(empty.astype(self.dtype))[:, None]  # as many places with a score of 0
        state = vectors(words[0], questions)  # [B, D]
        memories = vectors(words[0], inputs) + times[0][back]  # [B, M, D]
        for hop in range(self.num_hops):
            outputs = vectors(words[hop + 1], inputs) + times[hop + 1][back]
            scores = jnp.einsum("bd,bmd->bm", state, memories)
            read = jnp.where(there, scores, -jnp.inf)
            shares = jax.nn.softmax(jnp.concatenate([read, nothing], -1))[:, :-1]
            if linear is not None:
                shares = jnp.where(linear[:, None], jnp.where(there, scores, 0), shares)
            state = state + jnp.einsum("bm,bmd->bd", shares, outputs)
            memories = outputs
        return state @ words[-1].T

    def _back(self, back: jax.Array, there: jax.Array, *, train: bool) -> jax.Array:
        """How far back each sentence is, int32 [B, M], with the empty ones behind it."""
        back = jnp.maximum(back, 0)
        if train:
            empty = jax.random.bernoulli(self.make_rng("dropout"), self.empty_rate, back.shape)
            behind = jnp.flip(jnp.cumsum(jnp.flip(empty & there, 1), 1), 1)
            back = back + behind
        return jnp.minimum(back, self.memory - 1)

    def _weights(self, ids: jax.Array) -> jax.Array:
        """Position encoding of sentences [..., S], [..., S, D]; or 1."""
        if not self.position_encoding:
            return jnp.ones((), self.dtype)
        J = jnp.maximum((ids > 0).sum(-1), 1)[..., None, None].astype(self.dtype)
        j = jnp.arange(1, ids.shape[-1] + 1, dtype=self.dtype)[:, None]
        k = jnp.arange(1, self.width + 1, dtype=self.dtype)
        return 2 * ((1 - j / J) - (k / self.width) * (1 - 2 * j / J))
