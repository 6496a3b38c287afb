"""REINFORCE: whole episodes, returns, the loss by hand, and the gradient it estimates."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax
from corridor import Corridor, Table

from aimodels.agents.reinforce import Reinforce, returns_to_go, whole_episodes
from aimodels.environments.base import Copies

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
PARAMS = {
    "policy": jnp.asarray([[0.1, 0.4], [-0.3, 0.2], [0.5, 0.0], [0.0, 0.0]]),
    "value": jnp.asarray([-2.0, -1.5, -1.0, 0.0]),
}


def agent(**fields):
    defaults = {"environment": Corridor(), "model": Table(), "optimizer": optax.sgd(0.1)}
    return Reinforce(**defaults | {"environments": 32, "discount": 0.9} | fields)


def episodes(one, key=0):
    return whole_episodes(
        one.copies, lambda seen: one.outputs(PARAMS, seen)[0], jax.random.key(key)
    )


def test_episodes_are_whole():
    played, made = jax.tree.map(np.asarray, episodes(agent()))
    assert made.shape == (6, 32)
    lengths = made.sum(0)
    assert set(lengths) == {3, 4, 5, 6}  # at place 0 a step down is lost
    for column, length in enumerate(lengths):
        assert made[:length, column].all()
        assert not played.done[: length - 1, column].any()
        assert played.done[length - 1, column]
        ended = played.next_observation[length - 1, column].argmax() == 3
        assert played.terminated[length - 1, column] == ended
        assert played.truncated[length - 1, column] == (not ended)
        assert played.episode_length[length - 1, column] == length
        for leaf in jax.tree.leaves(played):
            assert not leaf[length:, column].any()
        assert (played.observation[:length, column].sum(-1) == 1).all()


def upwards(seen):
    return jnp.asarray([[0.0, 100.0]] * len(seen))


def test_an_episode_of_one_step_and_one_that_never_ends():
    for length, longest in ((1, 4), (3, 2)):
        copies = Copies(Corridor(length, longest), 2)
        played, made = whole_episodes(copies, upwards, jax.random.key(0))
        assert (made.sum(0) == min(length, longest)).all()
        assert bool(played.terminated.any()) == (length == 1)


def test_returns_are_rlaxs():
    one = agent()
    played, made = episodes(one)
    returns = returns_to_go(played, 0.9)
    for column in range(4):
        length = int(made[:, column].sum())
        discounts = jnp.full(length, 0.9)
        expected = rlax.discounted_returns(
            played.reward[:length, column], discounts, jnp.zeros(length)
        )
        np.testing.assert_allclose(returns[:length, column], expected, **CLOSE)
    assert (np.where(made, 0, returns) == 0).all()


def test_loss_by_hand():
    one = agent(environments=2, baseline=True)
    played, made = episodes(one)
    _, metrics = one.loss(PARAMS, played, made)
    without, plain = agent(environments=2, baseline=False).loss(PARAMS, played, made)
    policy_loss = plain_loss = randomness = error = 0.0
    values = np.asarray(PARAMS["value"])
    for column in range(2):
        total = 0.0
        for time in reversed(range(int(made[:, column].sum()))):
            place = int(played.observation[time, column].argmax())
            log = np.asarray(jax.nn.log_softmax(PARAMS["policy"][place]))
            total = float(played.reward[time, column]) + 0.9 * total
            chosen = log[int(played.action[time, column])]
            policy_loss -= (total - values[place]) * chosen / 2
            plain_loss -= total * chosen / 2
            error += (total - values[place]) ** 2 / int(made.sum())
            randomness -= (np.exp(log) * log).sum() / int(made.sum())
    assert metrics["policy_loss"] == pytest.approx(policy_loss, rel=1e-4)
    assert metrics["value_loss"] == pytest.approx(error, rel=1e-4)
    assert metrics["entropy"] == pytest.approx(randomness, rel=1e-4)
    assert metrics["loss"] == pytest.approx(policy_loss + 0.5 * error, rel=1e-4)
    assert without == pytest.approx(plain_loss, rel=1e-4)
    assert "value_loss" not in plain


def expected_return(policy):
    """Of the corridor of 2 with 3 steps at most and γ = 1, over all that can happen."""
    log = jax.nn.log_softmax(policy)
    total = 0.0
    for actions in itertools.product((0, 1), repeat=3):
        place, chance, reward = 0, 0.0, 0.0
        for action in actions:
            if place == 2:
                continue
            chance += log[place, action]
            place = max(place + 2 * action - 1, 0)
            reward += 0.0 if place == 2 else -1.0
        # Where the first two actions end it, the third is no choice.
        share = 0.5 if actions[:2] == (1, 1) else 1.0
        total += share * jnp.exp(chance) * reward
    return total


@pytest.mark.parametrize("baseline", [False, True])
def test_the_gradient_is_that_of_the_expected_return(baseline):
    one = agent(
        environment=Corridor(2, 3),
        environments=20_000,
        discount=1.0,
        baseline=baseline,
        value_coefficient=0.0,
    )
    params = {"policy": PARAMS["policy"][:3], "value": jnp.asarray([-2.0, -1.0, 0.0])}

    def logits_of(seen):
        return one.outputs(params, seen)[0]

    played, made = jax.jit(lambda key: whole_episodes(one.copies, logits_of, key))(
        jax.random.key(0)
    )
    found = jax.grad(lambda params: one.loss(params, played, made)[0])(params)["policy"]
    exact = jax.grad(expected_return)(params["policy"])
    assert float(jnp.abs(exact).max()) > 0.1
    # A return is at most 3 from its baseline, for 3 steps, with slopes below 1.
    np.testing.assert_allclose(-found, exact, atol=4 * 3 * np.sqrt(3) / np.sqrt(20_000))


def test_a_baseline_makes_the_gradient_less_uncertain():
    def spread(baseline):
        one = agent(environments=1, baseline=baseline, value_coefficient=0.0)

        def gradient(key):
            played, made = whole_episodes(
                one.copies, lambda seen: one.outputs(PARAMS, seen)[0], key
            )
            return jax.grad(lambda params: one.loss(params, played, made)[0])(PARAMS)["policy"]

        found = jax.jit(jax.vmap(gradient))(jax.random.split(jax.random.key(0), 500))
        return float(found.var(0).sum())

    assert spread(True) < 0.6 * spread(False)
