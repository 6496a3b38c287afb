"""Recurrent encoder-decoders of text: with the attention of Bahdanau or of Luong, or with none."""

from typing import Any, Literal

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from aimodels.models.encoder_decoder import given_target
from aimodels.models.recurrent import CELLS
from aimodels.modules import Dense, Dropout, Embedding
from aimodels.modules.recurrent_attention import RecurrentAttention
from aimodels.modules.recurrent_scan import LSTMState, hidden_of, swapped

Array = jax.Array


@flax.struct.dataclass
class RecurrentCache:
    """What a decoder keeps between tokens: the source, and where it stands itself.

    Attributes:
        memory: [B, S, M], what the encoder gave.
        keys: [B, S, H], of the memory, see `RecurrentAttention`.
        valid: [B, S], False where the source is padding.
        state: of the recurrent layers, arrays [B, L, H]: the batch first, as beams are reordered.
        fed: [B, H], Luong's attentional vector of the token before; else [B, 0].
    """

    memory: Array
    keys: Array
    valid: Array
    state: Any
    fed: Array


class DecoderStep(nn.Module):
    """One token of the decoder; the fields are those of `RecurrentEncoderDecoder`."""

    attention: Literal["bahdanau", "luong"]
    features: int
    num_layers: int
    cell: Literal["lstm", "gru"]
    score: Literal["dot", "general", "concat"]
    dropout_rate: float | Array
    dtype: Any
    param_dtype: Any

    def setup(self) -> None:
        """Make the layers."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        of_bahdanau = self.attention == "bahdanau"
        self.align = RecurrentAttention(
            self.features, score="additive" if of_bahdanau else self.score, **dtypes
        )
        self.recurrent = CELLS[self.cell](
            self.features, num_layers=self.num_layers, dropout_rate=self.dropout_rate, **dtypes
        )
        if not of_bahdanau:
            self.combine = Dense(self.features, use_bias=False, **dtypes)

    def __call__(
        self,
        carry: tuple[Any, Array],
        now: tuple[Array, Array],
        memory: Array,
        keys: Array,
        valid: Array,
        train: bool,
    ) -> tuple[tuple[Any, Array], Array]:
        """Read a token and look at the source.

        Args:
            carry: `state` and `fed` of `RecurrentCache`.
            now: the token's vector [B, E], and whether there is a token, [B].
            memory: as the rest, of `RecurrentCache`.
            keys: see there.
            valid: see there.
            train: dropout between layers is on.

        Returns:
            The next carry, the same one where there was no token; and what the logits are made of,
            [B, O].
        """
        (state, fed), (vector, is_token) = carry, now
        layers_first = swapped(state)
        if self.attention == "bahdanau":
            # The state before the token decides where to look (equation 6), and what comes out
            # (A.2.2) is of the state before it too; ours is of the state after it, as nearly all
            # later ones have it.
            context, _ = self.align(hidden_of(state)[:, -1], memory, keys, valid)
            outputs, after = self.recurrent.step(
                jnp.concatenate([vector, context], -1), layers_first, train=train
            )
            made, fed_after = jnp.concatenate([outputs, vector, context], -1), fed
        else:
            outputs, after = self.recurrent.step(
                jnp.concatenate([vector, fed], -1), layers_first, train=train
            )
            context, _ = self.align(outputs, memory, keys, valid)
            made = jnp.tanh(self.combine(jnp.concatenate([context, outputs], -1)))
            fed_after = made
        after = swapped(after)

        def kept(new: Array, old: Array) -> Array:
            return jnp.where(is_token.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

        return jax.tree.map(kept, (after, fed_after), (state, fed)), made


class RecurrentEncoderDecoder(nn.Module):
    """A recurrent encoder, and a decoder that may look back at the source for each token.

    attention="bahdanau": Bahdanau et al. 2015, "Neural machine translation by jointly learning to
    align and translate": the encoder is bidirectional; the decoder begins with tanh of a projection
    of the backward state, looks by an additive score from its state before each token, reads the
    context with the token, and makes logits through a maxout layer. The paper's cell is "gru".

    attention="luong": Luong et al. 2015, "Effective approaches to attention-based neural machine
    translation", global attention with input feeding: both stacks go forwards, the decoder begins
    with the encoder's last states, looks from its state after each token, and reads the attentional
    vector tanh(W [context; state]) with the next token. The paper's cell is "lstm".

    attention="none": Sutskever et al. 2014, "Sequence to sequence learning with neural networks":
    both stacks go forwards, and all that the decoder knows of the source is the encoder's last
    states, with which it begins.

    Its cache serves `aimodels.models.generation`, as that of `EncoderDecoder`.

    Attributes:
        vocabulary: V, of both languages or of the source.
        target_vocabulary: V of the target; None takes `vocabulary`, each side with its own vectors.
        attention: "bahdanau", "luong" or "none".
        features: H, of each state.
        embedding_features: E, of token vectors; `features` when None.
        num_layers: of the encoder, and of the decoder.
        cell: "lstm" or "gru".
        score: of Luong's attention: "dot", "general" or "concat".
        max_length: tokens of a target at most.
        dropout_rate: on token vectors, between layers, and before the logits; may be traced.
        dtype: of the computation.
        param_dtype: of the parameters.
    """

    vocabulary: int
    target_vocabulary: int | None = None
    attention: Literal["bahdanau", "luong", "none"] = "bahdanau"
    features: int = 256
    embedding_features: int | None = None
    num_layers: int = 1
    cell: Literal["lstm", "gru"] = "lstm"
    score: Literal["dot", "general", "concat"] = "general"
    max_length: int = 256
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        width = self.embedding_features or self.features
        targets = self.target_vocabulary or self.vocabulary
        # As Luong et al. begin: vectors of the order of 0.1.
        self.embedding = Embedding(self.vocabulary, width, standard_deviation=0.1, **dtypes)
        self.target_embedding = Embedding(targets, width, standard_deviation=0.1, **dtypes)
        of_bahdanau = self.attention == "bahdanau"
        self.encoder = CELLS[self.cell](
            self.features,
            num_layers=self.num_layers,
            bidirectional=of_bahdanau,
            dropout_rate=self.dropout_rate,
            **dtypes,
        )
        if of_bahdanau:
            self.beginning = Dense(self.num_layers * self.features, **dtypes)
            self.maxout = Dense(2 * width, **dtypes)
        if self.has_keys:
            self.memory_projection = Dense(self.features, use_bias=False, **dtypes)
        self.head = Dense(targets, **dtypes)
        self.dropout = Dropout(self.dropout_rate)
        if self.attention == "none":
            self.decoder = CELLS[self.cell](
                self.features,
                num_layers=self.num_layers,
                dropout_rate=self.dropout_rate,
                **dtypes,
            )
            return
        in_axes: Any = (1, *(nn.broadcast,) * 4)  # the tokens' time; the source and `train`
        over_time = nn.scan(
            DecoderStep,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            in_axes=in_axes,
            out_axes=1,
        )
        self.decoder = over_time(
            attention=self.attention,
            features=self.features,
            num_layers=self.num_layers,
            cell=self.cell,
            score=self.score,
            dropout_rate=self.dropout_rate,
            **dtypes,
        )

    @property
    def has_keys(self) -> bool:
        """Whether attention compares with a projection of the memory."""
        return self.attention == "bahdanau" or (self.attention == "luong" and self.score != "dot")

    def __call__(
        self,
        inputs: Array,
        *,
        decoder_inputs: Array | None = None,
        lengths: Array | None = None,
        train: bool = False,
    ) -> Array:
        """Logits of the target's tokens.

        Args:
            inputs: the source's ids [B, S].
            decoder_inputs: the target's ids [B, T], shifted right. Padding behind a target changes
                nothing before it.
            lengths: [B], valid ids of the source, one or more.
            train: dropout is on.

        Returns:
            [B, T, V], the t-th for the target's token t.
        """
        decoder_inputs = given_target(self, decoder_inputs)
        cache = self.encode(inputs, lengths=lengths, train=train)
        return self._decode(decoder_inputs, cache, None, train)[0]

    def encode(
        self, inputs: Array, *, lengths: Array | None = None, train: bool = False
    ) -> RecurrentCache:
        """What the decoder begins with, after reading ids [B, S], `lengths` [B] of them valid."""
        batch, time = inputs.shape
        lengths = jnp.full(batch, time) if lengths is None else lengths
        vectors = self.dropout(self.embedding(inputs), deterministic=not train)
        memory, state = self.encoder(vectors, lengths=lengths, train=train)
        fed = jnp.zeros((batch, self.features), memory.dtype)
        if self.attention == "bahdanau":
            # The backward state is the one that has just read the first word.
            backward = nn.tanh(self.beginning(hidden_of(state)[-1]))
            start = backward.reshape(batch, self.num_layers, self.features)
            of_lstm = isinstance(state, LSTMState)
            state = LSTMState(hidden=start, cell=jnp.zeros_like(start)) if of_lstm else start
        else:
            state = swapped(state)
        if self.attention != "luong":
            fed = fed[:, :0]
        return RecurrentCache(
            memory=memory,
            keys=self.memory_projection(memory) if self.has_keys else memory,
            valid=jnp.arange(time) < lengths[:, None],
            state=state,
            fed=fed,
        )

    def read(
        self, inputs: Array, *, lengths: Array | None = None, capacity: int | None = None
    ) -> RecurrentCache:
        """As `encode`; it has room for any number of tokens, so that `capacity` changes nothing."""
        del capacity
        return self.encode(inputs, lengths=lengths)

    def decode(
        self, inputs: Array, cache: RecurrentCache, *, lengths: Array | None = None
    ) -> tuple[Array, RecurrentCache]:
        """The target's next T ids [B, T], `lengths` [B] of them valid -> logits [B, T, V]."""
        return self._decode(inputs, cache, lengths, False)

    def _decode(
        self, ids: Array, cache: RecurrentCache, lengths: Array | None, train: bool
    ) -> tuple[Array, RecurrentCache]:
        batch, time = ids.shape
        lengths = jnp.full(batch, time) if lengths is None else lengths
        vectors = self.dropout(self.target_embedding(ids), deterministic=not train)
        decoder: Any = self.decoder  # of two kinds
        if self.attention == "none":
            made, state = decoder(vectors, lengths=lengths, state=swapped(cache.state), train=train)
            carry = (swapped(state), cache.fed)
        else:
            is_token = jnp.arange(time) < lengths[:, None]
            source = (cache.memory, cache.keys, cache.valid)
            begins = (cache.state, cache.fed)
            carry, made = decoder(begins, (vectors, is_token), *source, train)
        if self.attention == "bahdanau":
            pairs = self.maxout(made)
            made = pairs.reshape(batch, time, -1, 2).max(-1)
        logits = self.head(self.dropout(made, deterministic=not train))
        state, fed = carry
        return logits, cache.replace(state=state, fed=fed)  # pyright: ignore[reportAttributeAccessIssue]
