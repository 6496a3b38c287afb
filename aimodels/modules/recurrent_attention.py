"""How a recurrent decoder looks at what an encoder has read, one query at a time.

Shapes: B batch, S places of the memory, M its width, H width of the query, A of the alignment.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import unknown
from aimodels.modules.dense import Dense

SCORES = ("additive", "dot", "general", "concat")


class RecurrentAttention(nn.Module):
    """Weights over places of a memory, and the mean of the memory under them.

    Scores of a query q and a memory h, each place alone:
        additive   v · tanh(W q + U h)        Bahdanau et al. 2015, appendix A.1.2
        dot        q · h                      Luong et al. 2015, equation 8; M = H
        general    q · W h                    the same
        concat     v · tanh(W [q; h])         the same: another name for additive

    What hangs on the memory alone is the same for all queries: it is given as `keys` [B, S, A], by
    a Dense layer without bias, or the memory itself for "dot".

    Attributes:
        features: A, of an additive score; of a product it is H.
        score: one of the four.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int = 1000
    score: Literal["additive", "dot", "general", "concat"] = "additive"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers."""
        if self.score not in SCORES:
            raise unknown("score of attention", self.score, SCORES)

        def dense(features: int) -> Dense:
            return Dense(features, use_bias=False, dtype=self.dtype, param_dtype=self.param_dtype)

        if self.score in ("additive", "concat"):
            self.query_projection = dense(self.features)
            self.energy = dense(1)

    def __call__(
        self, query: jax.Array, memory: jax.Array, keys: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Look at a memory.

        Args:
            query: [B, H].
            memory: [B, S, M].
            keys: [B, S, A], of the memory.
            valid: [B, S], False where there is padding; a row has at least one place.

        Returns:
            The mean of the memory [B, M], and the weights [B, S], which sum up to 1.
        """
        if self.score in ("dot", "general"):
            scores = jnp.einsum("bh,bsh->bs", query, keys)
        else:
            scores = self.energy(jnp.tanh(self.query_projection(query)[:, None] + keys))[..., 0]
        scores = jnp.where(valid, scores.astype(jnp.float32), -jnp.inf)
        weights = jax.nn.softmax(scores).astype(memory.dtype)
        return jnp.einsum("bs,bsm->bm", weights, memory), weights
