"""Transformer blocks and stacks of them: encoders, decoders, and decoders that look at a memory."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from aimodels.errors import UserError, unknown
from aimodels.modules.attention import KeyValueCache, MultiHeadAttention
from aimodels.modules.blocks import divided, rematerialises
from aimodels.modules.dense import Dense, activation
from aimodels.modules.dropout import Dropout
from aimodels.modules.identity import Identity
from aimodels.modules.initializers import Initializer

NORMS = ("layer", "rms", "none")
NORM_POSITIONS = ("pre", "post")


@struct.dataclass
class BlockCache:
    """What a block keeps between steps of decoding.

    Attributes:
        attention: keys and values of the tokens so far.
        memory: keys and values of the memory; None in a block without cross-attention, and before
            `remember`.
    """

    attention: KeyValueCache
    memory: KeyValueCache | None = None


class FeedForward(nn.Module):
    """Two Dense layers with an activation between them, at each token alone.

    With `gated`, the activation's output is multiplied by a third projection (Shazeer 2020:
    "silu" gives SwiGLU, "gelu" GEGLU).

    Attributes:
        features: width between the two layers.
        activation: a name of `aimodels.modules.dense.ACTIVATIONS`.
        gated: multiply by the gate.
        dropout_rate: after the activation; may be traced.
        use_bias: both layers add a bias.
        initializer: a name of `aimodels.modules.initializers`.
        kernel_init: overrides the name's kernel.
        out_kernel_init: overrides the kernel of `out` alone.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    features: int
    activation: str = "relu"
    gated: bool = False
    dropout_rate: float | jax.Array = 0.0
    use_bias: bool = True
    initializer: str = "glorot"
    kernel_init: Initializer | None = None
    out_kernel_init: Initializer | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[..., D] -> [..., D]."""

        def dense(name: str, features: int, kernel_init: Initializer | None) -> Dense:
            return Dense(
                features,
                use_bias=self.use_bias,
                initializer=self.initializer,
                kernel_init=kernel_init,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )

        hidden = dense("hidden", self.features, self.kernel_init)(inputs)
        hidden = activation(self.activation)(hidden)
        if self.gated:
            hidden = hidden * dense("gate", self.features, self.kernel_init)(inputs)
        hidden = Dropout(self.dropout_rate)(hidden, deterministic=not train)
        return dense("out", inputs.shape[-1], self.out_kernel_init or self.kernel_init)(hidden)


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention if asked for, feed-forward; each with a norm and a residual.

    norm_position="post" is Vaswani et al. 2017, norm(x + f(x)); "pre" is x + f(norm(x)) (Xiong et
    al. 2020), whose stack ends with one more norm. The defaults are PyTorch's
    nn.TransformerEncoderLayer (and nn.TransformerDecoderLayer with cross_attention), but without
    dropout.

    Attributes:
        num_heads: N.
        width: D of inputs and outputs.
        head_width: K; D / N when None.
        mlp_width: between the feed-forward's layers; 4 D when None.
        norm_position: "pre" or "post".
        norm: "layer", "rms" or "none".
        epsilon: of the norms.
        activation: of the feed-forward.
        gated: gated feed-forward, see `FeedForward`.
        is_causal: token t sees tokens 0 .. t only.
        cross_attention: attend to a memory too.
        num_key_value_heads: see `MultiHeadAttention`.
        rotary: see `MultiHeadAttention`.
        rotary_base: see `MultiHeadAttention`.
        scaled: see `MultiHeadAttention`.
        dropout_rate: on what each sublayer adds; may be traced.
        attention_dropout_rate: on attention weights; dropout_rate when None.
        hidden_dropout_rate: inside the feed-forward; dropout_rate when None.
        skip_rate: the probability that an example skips what a sublayer adds, each by a draw of
            its own (stochastic depth); may be traced.
        use_bias: in projections and norms.
        implementation: of attention, see `MultiHeadAttention`.
        initializer: a name of `aimodels.modules.initializers`.
        kernel_init: overrides the name's kernel.
        out_kernel_init: overrides the kernels whose outputs are added to the residual.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    num_heads: int
    width: int
    head_width: int | None = None
    mlp_width: int | None = None
    norm_position: str = "post"
    norm: str = "layer"
    epsilon: float = 1e-5
    activation: str = "relu"
    gated: bool = False
    is_causal: bool = False
    cross_attention: bool = False
    num_key_value_heads: int | None = None
    rotary: str | None = None
    rotary_base: float = 10_000.0
    scaled: bool = True
    dropout_rate: float | jax.Array = 0.0
    attention_dropout_rate: float | jax.Array | None = None
    hidden_dropout_rate: float | jax.Array | None = None
    skip_rate: float | jax.Array = 0.0
    use_bias: bool = True
    implementation: str = "direct"
    initializer: str = "glorot"
    kernel_init: Initializer | None = None
    out_kernel_init: Initializer | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the sublayers."""
        if self.norm_position not in NORM_POSITIONS:
            raise unknown("norm_position", self.norm_position, NORM_POSITIONS)
        attention = MultiHeadAttention(
            num_heads=self.num_heads,
            width=self.width,
            head_width=self.head_width,
            num_key_value_heads=self.num_key_value_heads,
            scaled=self.scaled,
            dropout_rate=self._or_default(self.attention_dropout_rate),
            use_bias=self.use_bias,
            implementation=self.implementation,
            initializer=self.initializer,
            kernel_init=self.kernel_init,
            out_kernel_init=self.out_kernel_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            parent=None,
        )
        self.attention = attention.copy(
            is_causal=self.is_causal, rotary=self.rotary, rotary_base=self.rotary_base
        )
        self.attention_norm = self.make_norm()
        if self.cross_attention:
            self.memory_attention = attention.copy()
            self.memory_norm = self.make_norm()
        self.mlp = FeedForward(
            self.mlp_width or 4 * self.width,
            activation=self.activation,
            gated=self.gated,
            dropout_rate=self._or_default(self.hidden_dropout_rate),
            use_bias=self.use_bias,
            initializer=self.initializer,
            kernel_init=self.kernel_init,
            out_kernel_init=self.out_kernel_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        self.mlp_norm = self.make_norm()
        self.dropout = Dropout(self.dropout_rate)
        self.skip = Dropout(self.skip_rate, broadcast_dims=(1, 2))

    def __call__(
        self,
        inputs: jax.Array,
        memory: jax.Array | None = None,
        *,
        lengths: jax.Array | None = None,
        memory_lengths: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        bias: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Run the block.

        Args:
            inputs: [B, T, D].
            memory: [B, S, D'], what cross-attention looks at.
            lengths: [B], valid tokens of the inputs.
            memory_lengths: [B], valid tokens of the memory.
            attention_mask: of self-attention, boolean [T, S], [B, T, S] or [B, 1 or N, T, S].
            bias: added to self-attention's logits, broadcastable to [B, N, T, S].
            train: dropout is on.

        Returns:
            [B, T, D].
        """
        if (memory is not None) != self.cross_attention:
            raise UserError(
                f"cross_attention is {self.cross_attention}, but "
                f"{'no' if memory is None else 'a'} memory is given."
            )
        added = self.attention(
            self._before(inputs, self.attention_norm),
            lengths=lengths,
            attention_mask=attention_mask,
            bias=bias,
            train=train,
        )
        hidden = self._after(inputs, added, self.attention_norm, train=train)
        if self.cross_attention:
            added = self.memory_attention(
                self._before(hidden, self.memory_norm), memory, lengths=memory_lengths, train=train
            )
            hidden = self._after(hidden, added, self.memory_norm, train=train)
        added = self.mlp(self._before(hidden, self.mlp_norm), train=train)
        return self._after(hidden, added, self.mlp_norm, train=train)

    @nn.nowrap
    def empty_cache(self, batch: int, capacity: int) -> BlockCache:
        """What `decode` starts from; call it on the module itself, it needs no parameters."""
        heads = self.num_key_value_heads or self.num_heads
        head_width = self.head_width or self.width // self.num_heads
        return BlockCache(KeyValueCache.empty(batch, capacity, heads, head_width, self.dtype))

    def remember(
        self, cache: BlockCache, memory: jax.Array, lengths: jax.Array | None = None
    ) -> BlockCache:
        """The cache with the memory [B, S, D'] that `decode` will look at; its lengths [B]."""
        return cache.replace(memory=self.memory_attention.remember(memory, lengths))  # pyright: ignore[reportAttributeAccessIssue]

    def decode(
        self,
        inputs: jax.Array,
        cache: BlockCache,
        *,
        lengths: jax.Array | None = None,
        bias: jax.Array | None = None,
    ) -> tuple[jax.Array, BlockCache]:
        """The next T tokens [B, T, D] -> [B, T, D] and the cache; `MultiHeadAttention.decode`."""
        added, attention_cache = self.attention.decode(
            self._before(inputs, self.attention_norm), cache.attention, lengths=lengths, bias=bias
        )
        hidden = self._after(inputs, added, self.attention_norm, train=False)
        if self.cross_attention:
            if cache.memory is None:
                raise UserError("the cache has no memory: call `remember` before `decode`.")
            added = self.memory_attention.recall(
                self._before(hidden, self.memory_norm), cache.memory
            )
            hidden = self._after(hidden, added, self.memory_norm, train=False)
        added = self.mlp(self._before(hidden, self.mlp_norm))
        hidden = self._after(hidden, added, self.mlp_norm, train=False)
        return hidden, BlockCache(attention_cache, cache.memory)

    @nn.nowrap
    def make_norm(self, name: str | None = None) -> nn.Module:
        """A norm as the block's own."""
        fields: dict[str, Any] = {
            "epsilon": self.epsilon,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
            "name": name,
        }
        if self.norm == "layer":
            return nn.LayerNorm(use_bias=self.use_bias, **fields)
        if self.norm == "rms":
            return nn.RMSNorm(**fields)
        if self.norm == "none":
            return Identity(name=name)
        raise unknown("norm", self.norm, NORMS)

    @nn.nowrap
    def _or_default(self, rate: float | jax.Array | None) -> float | jax.Array:
        return self.dropout_rate if rate is None else rate

    @nn.nowrap
    def _before(self, inputs: jax.Array, norm: Any) -> jax.Array:
        return norm(inputs) if self.norm_position == "pre" else inputs

    @nn.nowrap
    def _after(self, inputs: jax.Array, added: jax.Array, norm: Any, *, train: bool) -> jax.Array:
        added = self.dropout(added, deterministic=not train)
        outputs = inputs + self.skip(added, deterministic=not train)
        return norm(outputs) if self.norm_position == "post" else outputs


class Transformer(nn.Module):
    """A stack of blocks [B, T, D] -> [B, T, D]; with pre-norm blocks, a norm at the end.

    Tokens become vectors, and positions are added, before it. Blocks are `block_0`, `block_1` ...

    Attributes:
        num_layers: blocks.
        block: what each block is, as an example of one.
        stochastic_depth_rate: the last block's `skip_rate`; it grows linearly over the blocks
            (Huang et al. 2016). May be traced.
    """

    num_layers: int
    block: TransformerBlock
    stochastic_depth_rate: float | jax.Array = 0.0

    def setup(self) -> None:
        """Make the blocks."""
        self.blocks = [
            self._skipping(self.block, i + 1).copy(name=f"block_{i}")
            for i in range(self.num_layers)
        ]
        if self.block.norm_position == "pre":
            self.norm = self.block.make_norm()

    def __call__(
        self,
        inputs: jax.Array,
        memory: jax.Array | None = None,
        *,
        lengths: jax.Array | None = None,
        memory_lengths: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        bias: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Run the stack; the arguments are those of `TransformerBlock`."""
        given: dict[str, Any] = {
            "lengths": lengths,
            "memory_lengths": memory_lengths,
            "attention_mask": attention_mask,
            "bias": bias,
            "train": train,
        }
        hidden = divided(inputs)
        if rematerialises():
            return self._finish(self._in_a_loop(hidden, memory, **given))
        for block in self.blocks:
            hidden = divided(block(hidden, memory, **given))
        return self._finish(hidden)

    def _in_a_loop(self, hidden: jax.Array, memory: jax.Array | None, **given: Any) -> jax.Array:
        """The blocks in one loop, so that the backward pass, too, has one at a time in memory.

        Dropout draws other bits than outside of the loop.
        """
        params = [block.variables["params"] for block in self.blocks]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
        keys = None
        if self.has_rng("dropout"):
            keys = jax.random.split(self.make_rng("dropout"), self.num_layers)
        block = self.block.clone(parent=None)

        def run(hidden: jax.Array, layer: tuple[Any, Any, Any]) -> tuple[jax.Array, None]:
            params, key, number = layer
            rngs = None if key is None else {"dropout": key}
            this = self._skipping(block, number)
            outputs: Any = this.apply({"params": params}, hidden, memory, **given, rngs=rngs)
            return divided(outputs), None

        # In a loop nothing can be merged with the forward pass, so `prevent_cse` is not needed.
        run = jax.checkpoint(run, prevent_cse=False)
        numbers = jnp.arange(1, self.num_layers + 1)
        return jax.lax.scan(run, hidden, (stacked, keys, numbers))[0]

    @nn.nowrap
    def empty_cache(self, batch: int, capacity: int) -> tuple[BlockCache, ...]:
        """What `decode` starts from; call it on the module itself, it needs no parameters."""
        return tuple(self.block.empty_cache(batch, capacity) for _ in range(self.num_layers))

    def remember(
        self,
        cache: tuple[BlockCache, ...],
        memory: jax.Array,
        lengths: jax.Array | None = None,
    ) -> tuple[BlockCache, ...]:
        """The cache with the memory [B, S, D'] that `decode` will look at; its lengths [B]."""
        pairs = zip(self.blocks, cache, strict=True)
        return tuple(block.remember(each, memory, lengths) for block, each in pairs)

    def decode(
        self,
        inputs: jax.Array,
        cache: tuple[BlockCache, ...],
        *,
        lengths: jax.Array | None = None,
        bias: jax.Array | None = None,
    ) -> tuple[jax.Array, tuple[BlockCache, ...]]:
        """The next T tokens [B, T, D] -> [B, T, D] and the cache; `MultiHeadAttention.decode`."""
        hidden, caches = inputs, []
        for block, each in zip(self.blocks, cache, strict=True):
            hidden, new = block.decode(hidden, each, lengths=lengths, bias=bias)
            caches.append(new)
        return self._finish(hidden), tuple(caches)

    def _skipping(self, block: TransformerBlock, number: int | jax.Array) -> TransformerBlock:
        """The block with the rate of the `number`-th, from 1 on."""
        rate = self.stochastic_depth_rate
        if isinstance(rate, int | float) and rate == 0:
            return block
        return block.clone(skip_rate=rate * number / self.num_layers)

    @nn.nowrap
    def _finish(self, hidden: jax.Array) -> jax.Array:
        return self.norm(hidden) if self.block.norm_position == "pre" else hidden
