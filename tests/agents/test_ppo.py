"""PPO: its loss by hand and by rlax, its minibatches, its learning rate, and that it is A2C."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax
from corridor import Corridor, Table, one_hot

from aimodels.agents.a2c import A2C
from aimodels.agents.ppo import PPO
from aimodels.config import load_config
from aimodels.errors import UserError
from aimodels.training.build import task_builder

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def agent(**fields):
    defaults = {"environment": Corridor(), "model": Table(), "optimizer": optax.sgd(0.1)}
    return PPO(**defaults | {"environments": 4, "rollout_steps": 6} | fields)


PARAMS = {
    "policy": jnp.log(jnp.asarray([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1], [0.5, 0.5]])),
    "value": jnp.asarray([1.0, 2.0, 3.0, 4.0]),
}
# Ratios 0.5/0.5 = 1, 0.75/0.5 = 1.5, 0.1/0.2 = 0.5.
MINIBATCH = {
    "observation": one_hot([0, 1, 2]),
    "action": jnp.asarray([0, 1, 1]),
    "log_probability": jnp.log(jnp.asarray([0.5, 0.5, 0.2])),
    "value": jnp.asarray([1.5, 2.1, 3.0]),
    "advantage": jnp.asarray([1.0, 2.0, -1.0]),
    "target": jnp.asarray([2.0, 2.5, 1.0]),
}


def test_loss_by_hand():
    one = agent(normalize_advantages=False, entropy_coefficient=0.01, value_coefficient=0.5)
    loss, metrics = one.loss(PARAMS, MINIBATCH)
    # Clipped to 1.2 · 2 and to 0.8 · -1.
    policy_loss = -(1 + 2.4 - 0.8) / 3
    # The values 1, 2, 3 are -0.5, -0.1, 0 from the old ones, 1.5 - 0.2 = 1.3 is the first clipped:
    # max(1, 0.7²), 0.5² and 2² once more.
    value_loss = 0.5 * (1 + 0.25 + 4) / 3
    p = np.asarray([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]])
    randomness = -(p * np.log(p)).sum(-1).mean()
    assert metrics["policy_loss"] == pytest.approx(policy_loss, rel=1e-5)
    assert metrics["value_loss"] == pytest.approx(value_loss, rel=1e-5)
    assert metrics["entropy"] == pytest.approx(randomness, rel=1e-5)
    assert loss == pytest.approx(policy_loss + 0.5 * value_loss - 0.01 * randomness, rel=1e-5)
    ratios = np.asarray([1, 1.5, 0.5])
    kl = np.mean(ratios - 1 - np.log(ratios))
    assert metrics["approximate_kl"] == pytest.approx(kl, rel=1e-5)
    assert metrics["clip_fraction"] == pytest.approx(2 / 3, rel=1e-5)


def test_a_value_gains_nothing_by_going_further():
    # Old value 3, target 5, new value 4: (3.2 - 5)² is more than (4 - 5)², and has no gradient.
    minibatch = MINIBATCH | {"value": jnp.full(3, 3.0), "target": jnp.full(3, 5.0)}
    minibatch = minibatch | {"observation": one_hot([3, 3, 3])}
    for clip_value, slope in ((True, 0.0), (False, -1.0)):
        one = agent(clip_value=clip_value, entropy_coefficient=0.0, value_coefficient=1.0)
        gradients, metrics = jax.grad(one.loss, has_aux=True)(PARAMS, minibatch)
        assert gradients["value"][3] == pytest.approx(slope, abs=1e-6)
        assert metrics["value_loss"] == pytest.approx(0.5 * (1.8**2 if clip_value else 1), rel=1e-5)


@pytest.mark.parametrize("normalized", [False, True])
def test_policy_loss_and_its_gradient_are_rlaxs(normalized):
    one = agent(
        normalize_advantages=normalized, entropy_coefficient=0.0, value_coefficient=0.0, clip=0.3
    )
    advantages = np.asarray(MINIBATCH["advantage"])
    if normalized:
        advantages = (advantages - advantages.mean()) / np.std(advantages, ddof=1)

    def expected(policy):
        log = jax.nn.log_softmax(policy[:3])[jnp.arange(3), MINIBATCH["action"]]
        ratios = jnp.exp(log - MINIBATCH["log_probability"])
        return rlax.clipped_surrogate_pg_loss(ratios, jnp.asarray(advantages, jnp.float32), 0.3)

    (loss, _), gradients = jax.value_and_grad(one.loss, has_aux=True)(PARAMS, MINIBATCH)
    by_rlax, slopes = jax.value_and_grad(expected)(PARAMS["policy"])
    assert loss == pytest.approx(float(by_rlax), rel=1e-5)
    np.testing.assert_allclose(gradients["policy"], slopes, **CLOSE)


def test_one_epoch_of_one_minibatch_is_a2c():
    """Huang et al., "A2C is a special case of PPO", 2022: the same updates to rounding."""
    common = {
        "environment": Corridor(),
        "model": Table(),
        "optimizer": optax.rmsprop(0.01),
        "environments": 4,
        "rollout_steps": 5,
        "gae_lambda": 0.9,
        "entropy_coefficient": 0.01,
    }
    a2c = A2C(**common, value_coefficient=0.5)  # of the square, here of half of it
    ppo = PPO(**common, value_coefficient=1.0, epochs=1, minibatches=1, normalize_advantages=False)
    left, right = (one.init(jax.random.key(0), {}) for one in (a2c, ppo))
    for key in jax.random.split(jax.random.key(1), 5):
        # PPO makes two keys of its step's: the first one is for the rollout.
        left, _ = jax.jit(a2c.train_step)(left, {}, jax.random.split(key)[0])
        right, metrics = jax.jit(ppo.train_step)(right, {}, key)
        assert metrics["clip_fraction"] == 0
        assert abs(metrics["approximate_kl"]) < 1e-6
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), left.params, right.params)
    assert float(jnp.abs(right.params["policy"]).max()) > 0.01


def test_each_epoch_has_every_step_once():
    one = agent(epochs=3, minibatches=4)
    order = np.asarray(one.order(jax.random.key(0)))
    assert order.shape == (12, 6)
    epochs = order.reshape(3, -1)
    assert (np.sort(epochs) == np.arange(24)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_examples_are_those_of_their_steps():
    one = agent()
    state = dataclasses.replace(one.init(jax.random.key(0), {}), params=PARAMS)
    _, played = one.explore(PARAMS, state.extra, jax.random.key(1))
    examples = one.examples(PARAMS, played)
    places = np.asarray(played.observation).argmax(-1).reshape(-1)
    np.testing.assert_allclose(examples["value"], np.asarray(PARAMS["value"])[places], **CLOSE)
    log = np.asarray(PARAMS["policy"])[places, np.asarray(played.action).reshape(-1)]
    np.testing.assert_allclose(examples["log_probability"], log, **CLOSE)
    sums = examples["advantage"] + examples["value"]
    np.testing.assert_allclose(examples["target"], sums, **CLOSE)


def test_the_learning_rate_falls_from_iteration_to_iteration():
    """CleanRL's: 2.5e-4 · (1 - (iteration - 1) / iterations), the same for its 16 updates."""
    config = load_config("experiments/rl/classic_control.py:ppo_cartpole", {"training.steps": "10"})
    optimizer = task_builder(config)({}).optimizer
    params = {"w": jnp.zeros(())}
    state, update_of = optimizer.init(params), jax.jit(optimizer.update)
    rates = []
    for _ in range(48):
        # Adam's step is as long as the rate where the gradient is always the same, but for eps.
        update, state = update_of({"w": jnp.ones(())}, state, params)
        rates.append(-float(update["w"]))
    expected = np.repeat(2.5e-4 * np.asarray([1, 0.9, 0.8]), 16)
    np.testing.assert_allclose(rates, expected, rtol=1e-4)


def test_steps_must_be_divisible():
    with pytest.raises(UserError, match=r"the 24 steps of an iteration .* into 5 equal parts"):
        agent(minibatches=5).init(jax.random.key(0), {})
