"""Text from a language model: sampling and beam search, with the keys and values kept.

A model is one that has `empty_cache(batch)` and `decode(ids, cache, lengths=...)`, as GPT; or
`decode` and a cache that is given, as that of T5's `read`. Each function is pure and one compiled
program: jit it with the model and the counts static.

Shapes: B prompts, T tokens, V vocabulary, W beams.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from aimodels.errors import UserError

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a token is chosen from logits; what is None does nothing.

    The steps are taken in this order, as transformers does: penalty, temperature, then each cut
    from what the ones before have left.

    Attributes:
      temperature: logits are divided by it; 0 takes the most probable token. May be traced.
      top_k: the k most probable tokens stay.
      top_p: the most probable tokens stay whose probabilities first sum up to p (Holtzman et al.
        2020, "The curious case of neural text degeneration", section 3.1).
      min_p: tokens stay whose probability is at least so much of the largest (Nguyen et al. 2024,
        "Turning up the heat").
      repetition_penalty: logits of tokens that were there are divided by it where positive, else
        multiplied (Keskar et al. 2019, "CTRL", section 4.1).
    """

    temperature: float | Array = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def __post_init__(self) -> None:
        limits = (
            ("temperature", 0, None),
            ("top_k", 1, None),
            ("top_p", 0, 1),
            ("min_p", 0, 1),
        )
        for name, least, most in limits:
            value = getattr(self, name)
            if isinstance(value, int | float) and not (
                value >= least and (most is None or value <= most)
            ):
                takes = f"{least} or more" if most is None else f"{least} to {most}"
                raise UserError(f"{name} is {value}; it takes {takes}")
        penalty = self.repetition_penalty
        if penalty is not None and not penalty > 0:
            raise UserError(f"repetition_penalty is {penalty}; it takes more than 0")

    def cut(self, logits: Array, seen: Array) -> Array:
        """Logits [B, V] with -∞ where a token can't be chosen; `seen` [B, V], those there were."""
        logits = logits.astype(jnp.float32)
        if self.repetition_penalty is not None:
            factor = jnp.where(logits > 0, 1 / self.repetition_penalty, self.repetition_penalty)
            logits = jnp.where(seen, logits * factor, logits)
        logits = logits / jnp.maximum(self.temperature, 1e-6)
        if self.top_k is not None:
            least = jax.lax.top_k(logits, min(self.top_k, logits.shape[-1]))[0][:, -1:]
            logits = jnp.where(logits < least, -jnp.inf, logits)
        if self.top_p is not None:
            ordered = jnp.sort(logits, descending=True)
            probabilities = jax.nn.softmax(ordered)
            # A token stays if those before it don't reach p: the first one always does.
            stays = jnp.cumsum(probabilities, -1) - probabilities < self.top_p
            stays = stays.at[:, 0].set(True)
            least = jnp.where(stays, ordered, jnp.inf).min(-1, keepdims=True)
            logits = jnp.where(logits < least, -jnp.inf, logits)
        if self.min_p is not None:
            probabilities = jax.nn.softmax(logits)
            least = self.min_p * probabilities.max(-1, keepdims=True)
            logits = jnp.where(probabilities < least, -jnp.inf, logits)
        return logits

    def choose(self, logits: Array, seen: Array, key: Array) -> Array:
        """Token ids int32 [B] from logits [B, V]; see `cut`."""
        cut = self.cut(logits, seen)
        drawn = jax.random.categorical(key, cut)
        return jnp.where(jnp.equal(self.temperature, 0), cut.argmax(-1), drawn).astype(jnp.int32)


# In proportion to the model's own probabilities.
PLAIN = Sampling()


@flax.struct.dataclass
class Decoding:
    """Where B texts stand that are being made.

    Attributes:
      token: int32 [B], the last one, which the model has not read yet.
      cache: of the model.
      seen: [B, V], which tokens there were.
      ended: [B], whether the stop token came.
    """

    token: Array
    cache: Any
    seen: Array
    ended: Array


def begin(
    model: Any,
    variables: Any,
    prompts: Array,
    key: Array,
    *,
    lengths: Array | None = None,
    sampling: Sampling = PLAIN,
    stop: int | None = None,
    cache: Any = None,
) -> Decoding:
    """Reads prompts [B, T], `lengths` [B] of them valid (all, when None); chooses a first token.

    They are read behind what is in `cache`, or at the beginning when None.
    """
    batch, time = prompts.shape
    lengths = jnp.full(batch, time) if lengths is None else lengths
    cache = model.empty_cache(batch) if cache is None else cache
    logits, cache = model.apply(variables, prompts, cache, lengths=lengths, method="decode")
    # Padding goes out of range, which is dropped.
    known = jnp.where(jnp.arange(time) < lengths[:, None], prompts, logits.shape[-1])
    rows = jnp.arange(batch)
    seen = jnp.zeros((batch, logits.shape[-1]), bool)
    seen = seen.at[rows[:, None], known].set(True, mode="drop")
    token = sampling.choose(logits[rows, lengths - 1], seen, key)
    seen = seen.at[rows, token].set(True)
    return Decoding(token, cache, seen, _is(token, stop))


def advance(
    model: Any,
    variables: Any,
    decoding: Decoding,
    keys: Array,
    *,
    sampling: Sampling = PLAIN,
    stop: int | None = None,
) -> tuple[Decoding, Array]:
    """As many tokens more as there are keys [S]: those before each step, int32 [B, S].

    Behind a stop token there are stop tokens only.
    """

    def step(decoding: Decoding, key: Array) -> tuple[Decoding, Array]:
        token = decoding.token
        logits, cache = model.apply(variables, token[:, None], decoding.cache, method="decode")
        chosen = sampling.choose(logits[:, 0], decoding.seen, key)
        if stop is not None:
            chosen = jnp.where(decoding.ended, stop, chosen)
        seen = decoding.seen.at[jnp.arange(len(chosen)), chosen].set(True)
        return Decoding(chosen, cache, seen, decoding.ended | _is(chosen, stop)), token

    decoding, tokens = jax.lax.scan(step, decoding, keys)
    return decoding, tokens.T


def generate(
    model: Any,
    variables: Any,
    prompts: Array,
    steps: int,
    key: Array,
    *,
    lengths: Array | None = None,
    temperature: float | Array = 1.0,
    stop: int | None = None,
    cache: Any = None,
    **cuts: Any,
) -> Array:
    """Sample `steps` tokens behind each prompt.

    Args:
      model: the language model.
      variables: its parameters, {"params": ...}.
      prompts: ids [B, T]; T + steps may be model.max_length + 1 at most.
      steps: tokens to sample.
      key: of the randomness.
      lengths: [B], valid ids of each prompt; all T when None.
      temperature: as the other cuts, see `Sampling`.
      stop: a token that ends a text; behind it there are no others.
      cache: what the model begins with, such as a source that an encoder has read.
      cuts: `top_k`, `top_p`, `min_p`, `repetition_penalty`.

    Returns:
      The new ids, int32 [B, steps].
    """
    _check_room(model, prompts.shape[1], steps)
    sampling = Sampling(temperature=temperature, **cuts)
    keys = jax.random.split(key, steps)
    given: dict[str, Any] = {"sampling": sampling, "stop": stop}
    decoding = begin(model, variables, prompts, keys[0], lengths=lengths, cache=cache, **given)
    decoding, tokens = advance(model, variables, decoding, keys[1:], **given)
    return jnp.concatenate([tokens, decoding.token[:, None]], axis=1)


def beam_search(
    model: Any,
    variables: Any,
    prompts: Array,
    steps: int,
    *,
    beams: int,
    lengths: Array | None = None,
    stop: int | None = None,
    length_penalty: float = 0.0,
    cache: Any = None,
) -> tuple[Array, Array]:
    """The most probable continuations that a beam of width W finds.

    A text that has ended keeps its score and its place among the W. Texts are compared by
    log P / ((5 + n) / 6)^α with n tokens, the stop token among them (Wu et al. 2016, equation 14,
    without coverage).

    Args:
      model: the language model.
      variables: its parameters, {"params": ...}.
      prompts: ids [B, T]; T + steps may be model.max_length + 1 at most.
      steps: tokens at most.
      beams: W.
      lengths: [B], valid ids of each prompt; all T when None.
      stop: the token that ends a text; behind it there are stop tokens only.
      length_penalty: α; 0 compares log P.
      cache: as in `generate`.

    Returns:
      Ids int32 [B, W, steps], best first, and their scores [B, W].
    """
    batch, time = prompts.shape
    _check_room(model, time, steps)
    lengths = jnp.full(batch, time) if lengths is None else lengths
    cache = model.empty_cache(batch) if cache is None else cache
    logits, cache = model.apply(variables, prompts, cache, lengths=lengths, method="decode")
    vocabulary = logits.shape[-1]
    first = jax.nn.log_softmax(logits[jnp.arange(batch), lengths - 1].astype(jnp.float32))
    # Each text is there W times; all but the first of them are improbable at the beginning.
    cache = jax.tree.map(lambda leaf: jnp.repeat(leaf, beams, 0), cache)
    following = jnp.repeat(first[:, None], beams, 1)
    totals = jnp.broadcast_to(jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf), (batch, beams))
    counts, ended = jnp.zeros((batch, beams), jnp.int32), jnp.zeros((batch, beams), bool)
    tokens = jnp.full((batch, beams, steps), 0 if stop is None else stop, jnp.int32)

    def penalty(counts: Array) -> Array:
        return ((5 + counts) / 6) ** length_penalty

    def extend(index: Array, texts: tuple, following: Array) -> tuple:
        """The best W of all texts by one token: log-probabilities [B, W, V]."""
        totals, counts, ended, tokens = texts
        if stop is not None:  # what has ended goes on with the stop token alone, at no cost
            only = jnp.where(jnp.arange(vocabulary) == stop, 0.0, -jnp.inf)
            following = jnp.where(ended[..., None], only, following)
        longer = counts + ~ended
        candidates = totals[..., None] + following
        scores = candidates / penalty(longer)[..., None]
        best = jax.lax.top_k(scores.reshape(batch, -1), beams)[1]
        parent, token = best // vocabulary, (best % vocabulary).astype(jnp.int32)
        totals, counts, ended, tokens = (
            jnp.take_along_axis(candidates.reshape(batch, -1), best, 1),
            jnp.take_along_axis(longer, parent, 1),
            jnp.take_along_axis(ended, parent, 1) | _is(token, stop),
            jnp.take_along_axis(tokens, parent[..., None], 1).at[:, :, index].set(token),
        )
        return (totals, counts, ended, tokens), parent, token

    def goes_on(carry: tuple) -> Array:
        index, (_, _, ended, _), _, _ = carry
        return (index < steps) & ~ended.all()

    def step(carry: tuple) -> tuple:
        index, texts, token, cache = carry
        logits, cache = model.apply(variables, token.reshape(-1, 1), cache, method="decode")
        following = jax.nn.log_softmax(logits[:, 0].astype(jnp.float32))
        texts, parent, token = extend(index, texts, following.reshape(batch, beams, -1))
        return index + 1, texts, token, _reordered(cache, parent)

    texts, parent, token = extend(jnp.array(0), (totals, counts, ended, tokens), following)
    carry = jnp.array(1), texts, token, _reordered(cache, parent)
    _, (totals, counts, _, tokens), _, _ = jax.lax.while_loop(goes_on, step, carry)
    return tokens, totals / penalty(counts)


def _reordered(cache: Any, parent: Array) -> Any:
    """Each text's part of the cache, leaves [B · W, ...], from the place [B, W] it came from."""
    batch, beams = parent.shape
    rows = (jnp.arange(batch)[:, None] * beams + parent).reshape(-1)
    return jax.tree.map(lambda leaf: leaf[rows], cache)


def _is(token: Array, stop: int | None) -> Array:
    return jnp.zeros(token.shape, bool) if stop is None else token == stop


def _check_room(model: Any, time: int, steps: int) -> None:
    if time + steps > model.max_length + 1:
        raise UserError(
            f"a prompt of {time} tokens and {steps} new ones are more than the model's max_length"
            f" of {model.max_length} can read."
        )
