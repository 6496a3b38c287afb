"""Further outputs that a model sows in training count in the loss."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.tasks.classification import Classification

LEARNING_RATE = 0.5


class TwoHeads(nn.Module):
    """A head, and one for training only."""

    auxiliary_weight: float = 0.3

    @nn.compact
    def __call__(self, inputs, *, train=False):
        """[B, D] -> [B, 3]."""
        hidden = nn.tanh(nn.Dense(4, name="trunk")(inputs))
        further = nn.Dense(3, name="further")(hidden)
        if train:
            self.sow("auxiliary_outputs", "logits", further)
        return nn.Dense(3, name="head")(hidden)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("weight", [0.3, 0.0])
def test_the_loss_of_auxiliary_outputs_is_added(weight, parts):
    model = TwoHeads(auxiliary_weight=weight)
    task = Classification(model, optax.sgd(LEARNING_RATE), gradient_accumulation=parts)
    inputs = jax.random.normal(jax.random.key(0), (6, 5))
    batch = {"inputs": inputs, "targets": jnp.arange(6) % 3}
    state = task.init(jax.random.key(1), batch)
    assert state.collections == {}

    def expected_loss(params):
        hidden = nn.tanh(inputs @ params["trunk"]["kernel"] + params["trunk"]["bias"])
        losses = [
            optax.softmax_cross_entropy_with_integer_labels(
                hidden @ params[head]["kernel"] + params[head]["bias"], batch["targets"]
            ).mean()
            for head in ("head", "further")
        ]
        return losses[0] + weight * losses[1], losses[0]

    gradients, loss = jax.grad(expected_loss, has_aux=True)(state.params)
    after, metrics = jax.jit(task.train_step)(state, batch, jax.random.key(2))
    assert after.collections == {}
    # float32 sums of six numbers of order 1, in another order.
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    jax.tree.map(
        lambda new, old, gradient: np.testing.assert_allclose(
            new, old - LEARNING_RATE * gradient, atol=1e-6
        ),
        after.params,
        state.params,
        gradients,
    )
