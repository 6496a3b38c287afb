"""N-gram models of text with modified Kneser-Ney smoothing, interpolated: in NumPy.

Chen & Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech
and Language 13, 1999, section 3. A baseline for language models: it is made of the tokens that they
are trained on, and gives the probability of the same held-out tokens.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aimodels.errors import UserError

Discounts = tuple[float, float, float]
# Where too few n-grams have been seen to estimate them: none once, or none twice, and so on.
FALLBACK: Discounts = (0.5, 1.0, 1.5)


class Order(NamedTuple):
    """The n-grams of one length n, sorted by their context and last token.

    Attributes:
      keys: context · V + last token, int64 [N]; a context is the number of an (n-1)-gram, or 0.
      counts: of the n-grams, float64 [N]: of the longest as seen, of others after how many
        different tokens they were seen.
      totals: of each context, the sum of its n-grams' counts [M].
      backoff: of each context, the share of probability that the next shorter order has [M].
      discounts: of n-grams with a count of 1, 2, and 3 or more.
    """

    keys: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    backoff: np.ndarray
    discounts: Discounts

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The numbers of n-grams; -1 for those that were not seen."""
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, -1)

    def discounted(self, numbers: np.ndarray) -> np.ndarray:
        """What is left of the counts of n-grams after the discount; 0 where the number is -1."""
        counts = np.where(numbers >= 0, self.counts[numbers], 0.0)
        return np.maximum(counts - _discount(counts, self.discounts), 0.0)


@dataclasses.dataclass(frozen=True)
class KneserNey:
    """The probability of a token after those before it; make one by `fit`.

    p_n(w | h) = max(c(h w) - D(c(h w)), 0) / c(h ·) + γ(h) p_{n-1}(w | h'), where h' is h without
    its first token and p_0 = 1 / V (equations 15 and 16, interpolated to the end). All tokens have
    a probability above 0, and they sum to 1 after any context.

    Attributes:
      vocabulary: V.
      orders: of n = 1, 2, ..., N.
    """

    vocabulary: int
    orders: tuple[Order, ...]

    @classmethod
    def fit(
        cls,
        tokens: np.ndarray,
        vocabulary: int,
        order: int,
        discounts: Sequence[Discounts] | None = None,
    ) -> "KneserNey":
        """The model of a text.

        Args:
          tokens: ids [T].
          vocabulary: V.
          order: N, of the longest n-grams.
          discounts: of n = 1, ..., N; None estimates each from how many n-grams have a count of 1,
            2, 3 and 4 (equation 17), or takes `FALLBACK` where there are none.

        Raises:
          UserError: an order below 1 or longer than the text, ids that V doesn't have.
        """
        tokens = np.asarray(tokens, np.int64)
        if not 1 <= order <= len(tokens):
            raise UserError(f"order is {order}; it takes 1 to {len(tokens)}, the text's tokens")
        if tokens.min() < 0 or tokens.max() >= vocabulary:
            raise UserError(
                f"the text has ids from {tokens.min()} to {tokens.max()}; a vocabulary of "
                f"{vocabulary} takes 0 to {vocabulary - 1}"
            )
        if discounts is not None and len(discounts) != order:
            raise UserError(
                f"discounts has {len(discounts)} entries; it takes one an order, {order}"
            )
        # Of each length: the n-grams seen, how often, and at each place which one begins there.
        keys, seen, contexts = [], [], []
        began = np.zeros(len(tokens), np.int64)
        count = 1
        for length in range(1, order + 1):
            here = began[: len(tokens) - length + 1] * vocabulary + tokens[length - 1 :]
            unique, began, often = np.unique(here, return_inverse=True, return_counts=True)
            keys.append(unique)
            seen.append((often, began))
            contexts.append(count)
            count = len(unique)
        made = []
        for index in range(order):
            if index == order - 1:
                counts = seen[index][0].astype(np.float64)
            else:
                # The (n+1)-gram at place t ends in the n-gram at t + 1: each of those counts once.
                longer, shorter = seen[index + 1][1], seen[index][1]
                _, first = np.unique(longer, return_index=True)
                counts = np.bincount(shorter[first + 1], minlength=len(keys[index]))
                counts = counts.astype(np.float64)
            given = None if discounts is None else discounts[index]
            made.append(_order(keys[index], counts, contexts[index], vocabulary, given))
        return cls(vocabulary, tuple(made))

    def log_probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """The log of each token's p after those before it, float64 [T]; the first after none.

        Args:
          tokens: ids [T].
        """
        tokens = np.asarray(tokens, np.int64)
        probabilities = np.full(len(tokens), 1.0 / self.vocabulary)
        # Of each place: the number of the n-gram of so many tokens before it, 0 for the empty one.
        before = np.zeros(len(tokens), np.int64)
        for order in self.orders:
            places = np.flatnonzero(before >= 0)
            contexts = before[places]
            numbers = order.find(contexts * self.vocabulary + tokens[places])
            totals = order.totals[contexts]
            known = totals > 0
            shares = order.discounted(numbers)[known] / totals[known]
            some = places[known]
            probabilities[some] *= order.backoff[contexts[known]]
            probabilities[some] += shares
            # The context of the next order is the n-gram of this one that ends a place before.
            before = np.full(len(tokens), -1, np.int64)
            inside = places < len(tokens) - 1
            before[places[inside] + 1] = numbers[inside]
        return np.log(probabilities)

    def begin(self, count: int = 1) -> np.ndarray:
        """States before any token, int64 [count, N], for `advance`."""
        states = np.full((count, len(self.orders)), -1, np.int64)
        states[:, 0] = 0
        return states

    def advance(self, states: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The log of each token's p, float64 [B], and the states behind them, int64 [B, N].

        Texts whose states are the same have the same p of everything that may follow.

        Args:
          states: of B texts, int64 [B, N]: at n the number of the n-gram of its last n tokens.
          tokens: the next one of each [B].
        """
        probabilities = np.full(len(tokens), 1.0 / self.vocabulary)
        after = self.begin(len(tokens))
        for length, order in enumerate(self.orders):
            places = np.flatnonzero(states[:, length] >= 0)
            contexts = states[places, length]
            numbers = order.find(contexts * self.vocabulary + tokens[places])
            totals = order.totals[contexts]
            known = totals > 0
            some = places[known]
            probabilities[some] *= order.backoff[contexts[known]]
            probabilities[some] += order.discounted(numbers[known]) / totals[known]
            if length + 1 < len(self.orders):
                after[places, length + 1] = numbers
        return np.log(probabilities), after

    def next_probabilities(self, context: np.ndarray) -> np.ndarray:
        """The p of every token after a context of ids [T], float64 [V]."""
        context = np.asarray(context, np.int64)
        probabilities = np.full(self.vocabulary, 1.0 / self.vocabulary)
        for length, order in enumerate(self.orders):
            number = (
                self._number(context[len(context) - length :]) if length <= len(context) else -1
            )
            if number < 0 or order.totals[number] == 0:
                break
            low, high = np.searchsorted(
                order.keys, [number * self.vocabulary, (number + 1) * self.vocabulary]
            )
            probabilities *= order.backoff[number]
            shares = order.discounted(np.arange(low, high)) / order.totals[number]
            probabilities[order.keys[low:high] - number * self.vocabulary] += shares
        return probabilities

    def generate(
        self, prompt: np.ndarray, count: int, seed: int = 0, temperature: float = 1.0
    ) -> np.ndarray:
        """So many tokens after a prompt of ids [T], int32 [count].

        Args:
          prompt: may be empty.
          count: how many.
          seed: decides them.
          temperature: probabilities are raised to 1 / temperature; 0 takes the likeliest.
        """
        if temperature < 0:
            raise UserError(f"temperature is {temperature}; it takes 0 or more")
        generator = np.random.Generator(np.random.Philox(key=[seed, 0]))
        text = [int(token) for token in prompt]
        for _ in range(count):
            recent = text[max(0, len(text) - len(self.orders) + 1) :]
            chances = self.next_probabilities(np.array(recent, np.int64))
            if temperature == 0:
                text.append(int(chances.argmax()))
                continue
            chances = np.exp(np.log(chances / chances.max()) / temperature)
            text.append(int(generator.choice(self.vocabulary, p=chances / chances.sum())))
        return np.array(text[len(text) - count :], np.int32)

    def _number(self, tokens: np.ndarray) -> int:
        """The number of an n-gram; -1 if it was not seen, 0 for the empty one."""
        number = 0
        for order, token in zip(self.orders, tokens, strict=False):
            number = int(order.find(np.array([number * self.vocabulary + token]))[0])
            if number < 0:
                break
        return number


def estimated(counts: np.ndarray) -> Discounts:
    """D1, D2 and D3+ from counts of counts (equation 17), `FALLBACK` where one of them is 0."""
    n1, n2, n3, n4 = (float(np.sum(counts == count)) for count in (1, 2, 3, 4))
    if 0 in (n1, n2, n3, n4):
        return FALLBACK
    share = n1 / (n1 + 2 * n2)
    found = (1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3)
    # In odd texts the estimate of a discount is below 0 or above the count itself.
    return tuple(float(np.clip(d, 0, limit)) for d, limit in zip(found, (1, 2, 3), strict=True))  # pyright: ignore[reportReturnType]


def _order(
    keys: np.ndarray, counts: np.ndarray, contexts: int, vocabulary: int, given: Discounts | None
) -> Order:
    discounts = estimated(counts) if given is None else given
    owners = keys // vocabulary
    totals = np.bincount(owners, counts, minlength=contexts)
    taken = np.minimum(_discount(counts, discounts), counts)
    taken = np.bincount(owners, taken, minlength=contexts)
    backoff = np.divide(taken, totals, out=np.ones(contexts), where=totals > 0)
    return Order(keys, counts, totals, backoff, discounts)


def _discount(counts: np.ndarray, discounts: Discounts) -> np.ndarray:
    """D of each count; 0 of a count of 0."""
    table = np.array([0.0, *discounts])
    return table[np.minimum(counts, 3).astype(np.int64)]
