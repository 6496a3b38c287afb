"""Tables of word vectors: word2vec's (Mikolov et al. 2013) and GloVe's (Pennington et al. 2014).

Both have two vectors for each word: of the word itself, and of the word as it stands in the context
of others. Called with ids [...] int32 they return the vectors by which words are compared,
[..., D]; `model.apply(variables, method="table")` gives those of all words, [V, D].
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


def _near_zero(width: int) -> nn.initializers.Initializer:
    """Uniform between -1 / (2 D) and 1 / (2 D), as in word2vec.c."""
    uniform = nn.initializers.uniform(1.0 / width)
    return lambda key, shape, dtype: uniform(key, shape, dtype) - jnp.asarray(0.5 / width, dtype)


class Word2Vec(nn.Module):
    """`words` [V, D], which are compared, and `contexts` [V, D], which begin at zero.

    Attributes:
      vocabulary: V.
      width: D.
      dtype: of the vectors that come out.
      param_dtype: of the tables.
    """

    vocabulary: int
    width: int = 100
    dtype: jnp.dtype = jnp.dtype("float32")
    param_dtype: jnp.dtype = jnp.dtype("float32")

    def setup(self) -> None:
        """Makes the tables."""
        shape = (self.vocabulary, self.width)
        self.words = self.param("words", _near_zero(self.width), shape, self.param_dtype)
        self.contexts = self.param("contexts", nn.initializers.zeros, shape, self.param_dtype)

    def table(self) -> Array:
        """The vectors of all words, [V, D]."""
        return self.words.astype(self.dtype)

    def __call__(
        self, inputs: Array, *, lengths: Array | None = None, train: bool = False
    ) -> Array:
        """The vectors of ids [...], [..., D], whatever the `lengths`."""
        return self.table()[inputs]


class GloVe(nn.Module):
    """`words` and `contexts` [V, D], whose sum is compared (section 4.2), and a bias of each.

    Attributes:
      vocabulary: V.
      width: D.
      dtype: of the vectors that come out.
      param_dtype: of the tables.
    """

    vocabulary: int
    width: int = 100
    dtype: jnp.dtype = jnp.dtype("float32")
    param_dtype: jnp.dtype = jnp.dtype("float32")

    def setup(self) -> None:
        """Makes the tables."""
        # glove.c counts the bias to a vector's width, here too.
        shape, start = (self.vocabulary, self.width), _near_zero(self.width + 1)
        self.words = self.param("words", start, shape, self.param_dtype)
        self.contexts = self.param("contexts", start, shape, self.param_dtype)
        self.word_biases = self.param("word_biases", start, shape[:1], self.param_dtype)
        self.context_biases = self.param("context_biases", start, shape[:1], self.param_dtype)

    def table(self) -> Array:
        """The vectors of all words, [V, D]."""
        return (self.words + self.contexts).astype(self.dtype)

    def __call__(
        self, inputs: Array, *, lengths: Array | None = None, train: bool = False
    ) -> Array:
        """The vectors of ids [...], [..., D], whatever the `lengths`."""
        return self.table()[inputs]
