"""GPT: a causal Transformer language model, as nanoGPT has it."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from aimodels.errors import UserError
from aimodels.modules import Dropout, Embedding
from aimodels.modules.positions import LearnedPositions
from aimodels.modules.transformer import BlockCache, Transformer, TransformerBlock


class GPT(nn.Module):
    """Predicts the next token at each place: GPT-2 (Radford et al. 2019) in nanoGPT's form.

    Pre-norm blocks with GELU, learned positions, the embedding used again for the logits, and
    weights N(0, 0.02²), but N(0, 0.02² / 2L) where they feed the residual.

    Attributes:
        vocabulary: V.
        width: D.
        num_layers: L.
        num_heads: N.
        max_length: the longest sequence (nanoGPT's block_size).
        use_bias: in Dense layers and norms; nanoGPT's default is without, GPT-2 has them.
        activation: of the feed-forward; OpenAI's GPT-2 has "gelu_tanh".
        dropout_rate: on embeddings, attention weights, and what each sublayer adds; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    vocabulary: int
    width: int = 128
    num_layers: int = 4
    num_heads: int = 4
    max_length: int = 64
    use_bias: bool = False
    activation: str = "gelu"
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.embedding = Embedding(self.vocabulary, self.width, **dtypes)
        self.positions = LearnedPositions(self.max_length, **dtypes)
        self.decoder = self._decoder()
        self.dropout = Dropout(self.dropout_rate)

    def __call__(
        self, inputs: jax.Array, *, lengths: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Ids [B, T] -> logits [B, T, V], the t-th for the token after the t-th.

        Padding behind a row's length changes nothing before it, so `lengths` is for the loss only.
        """
        del lengths
        tokens = self.positions(self.embedding(inputs))
        tokens = self.dropout(tokens, deterministic=not train)
        return self.embedding.attend(self.decoder(tokens, train=train))

    @nn.nowrap
    def empty_cache(self, batch: int, capacity: int | None = None) -> tuple[BlockCache, ...]:
        """What `decode` starts from; capacity is max_length when None. It needs no parameters."""
        return self._decoder(parent=None).empty_cache(batch, capacity or self.max_length)

    def decode(
        self,
        inputs: jax.Array,
        cache: tuple[BlockCache, ...],
        *,
        lengths: jax.Array | None = None,
    ) -> tuple[jax.Array, tuple[BlockCache, ...]]:
        """The next T ids [B, T], `lengths` [B] of them valid -> logits [B, T, V] and the cache."""
        places = cache[0].attention.lengths[:, None] + jnp.arange(inputs.shape[1])
        # The padding of a prompt may stand past the last position: any row will do for it.
        places = jnp.minimum(places, self.max_length - 1)
        tokens = self.positions(self.embedding(inputs), places)
        hidden, cache = self.decoder.decode(tokens, cache, lengths=lengths)
        return self.embedding.attend(hidden), cache

    @nn.nowrap
    def _decoder(self, **parent: Any) -> Transformer:
        block = TransformerBlock(
            num_heads=self.num_heads,
            width=self.width,
            norm_position="pre",
            activation=self.activation,
            is_causal=True,
            dropout_rate=self.dropout_rate,
            hidden_dropout_rate=0.0,
            use_bias=self.use_bias,
            kernel_init=nn.initializers.normal(0.02),
            out_kernel_init=nn.initializers.normal(0.02 / math.sqrt(2 * self.num_layers)),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            parent=None,
        )
        return Transformer(self.num_layers, block, **parent)


def generate(
    model: GPT,
    variables: Any,
    prompts: jax.Array,
    steps: int,
    key: jax.Array,
    *,
    lengths: jax.Array | None = None,
    temperature: float | jax.Array = 1.0,
    top_k: int | None = None,
) -> jax.Array:
    """Sample `steps` tokens behind each prompt.

    A pure function: it may be jitted, with model, steps and top_k static.

    Args:
        model: the language model.
        variables: its parameters, {"params": ...}.
        prompts: ids [B, T]; T + steps may be model.max_length + 1 at most.
        steps: tokens to sample.
        key: of the randomness.
        lengths: [B], valid ids of each prompt; all T when None.
        temperature: logits are divided by it; may be traced. 0 takes the most probable token.
        top_k: sample from the k most probable tokens only.

    Returns:
        The new ids [B, steps].
    """
    batch, time = prompts.shape
    if time + steps > model.max_length + 1:
        raise UserError(
            f"a prompt of {time} tokens and {steps} new ones are more than the model's max_length"
            f" of {model.max_length} can read."
        )
    lengths = jnp.full(batch, time) if lengths is None else lengths
    cache = model.empty_cache(batch)
    logits, cache = model.apply(variables, prompts, cache, lengths=lengths, method="decode")

    def sample(logits: jax.Array, key: jax.Array) -> jax.Array:
        if top_k is not None:
            smallest = jax.lax.top_k(logits, top_k)[0][:, -1:]
            logits = jnp.where(logits < smallest, -jnp.inf, logits)
        warm = jax.random.categorical(key, logits / jnp.maximum(temperature, 1e-6))
        return jnp.where(jnp.equal(temperature, 0), logits.argmax(-1), warm).astype(prompts.dtype)

    def step(carry: tuple, key: jax.Array) -> tuple[tuple, jax.Array]:
        token, cache = carry
        logits, cache = model.apply(variables, token[:, None], cache, method="decode")
        return (sample(logits[:, 0], key), cache), token

    keys = jax.random.split(key, steps)
    token = sample(logits[jnp.arange(batch), lengths - 1], keys[0])
    (token, _), tokens = jax.lax.scan(step, (token, cache), keys[1:])
    return jnp.concatenate([tokens.T, token[:, None]], axis=1)
