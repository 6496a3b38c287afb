"""The limit on norms of weights that Adadelta takes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.errors import UserError
from aimodels.training.optimizers import make_optimizer

START = {"head": {"kernel": jnp.array([[3.0, 0.1], [4.0, 0.2]]), "bias": jnp.array([9.0, 9.0])}}
GRADIENTS = jax.tree.map(jnp.ones_like, START)


def after(section, params=START):
    optimizer = make_optimizer({"name": "adadelta", "learning_rate": 1.0} | section, 10)
    updates, _ = optimizer.update(GRADIENTS, optimizer.init(params), params)
    return optax.apply_updates(params, updates)


def test_longer_columns_are_scaled_down_and_others_are_as_without():
    limited, free = after({"max_norms": (("kernel", 3.0),)}), after({})
    column = np.asarray(free["head"]["kernel"][:, 0])
    # Float32 rounding of an update as the difference of two weights of 4.
    np.testing.assert_allclose(
        limited["head"]["kernel"][:, 0], column * 3 / np.linalg.norm(column), rtol=1e-6
    )
    np.testing.assert_allclose(limited["head"]["kernel"][:, 1], free["head"]["kernel"][:, 1])
    np.testing.assert_array_equal(limited["head"]["bias"], free["head"]["bias"])


def test_weights_of_zero_stay_finite():
    zeros = jax.tree.map(jnp.zeros_like, START)
    optimizer = make_optimizer(
        {"name": "adadelta", "learning_rate": 1.0, "max_norms": (("kernel", 3.0),)}, 10
    )
    updates, _ = optimizer.update(zeros, optimizer.init(zeros), zeros)
    assert not np.asarray(updates["head"]["kernel"]).any()


@pytest.mark.parametrize(
    ("pattern", "message"), [("tail", "matches no parameter"), ("(", "no regular expression")]
)
def test_patterns_that_mean_nothing_are_told(pattern, message):
    with pytest.raises(UserError, match=f"max_norms.*{message}"):
        after({"max_norms": ((pattern, 3.0),)})
