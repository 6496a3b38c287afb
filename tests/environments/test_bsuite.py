"""bsuite's environments at their settings, and the scores of its experiment file."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.config import load_experiment
from aimodels.environments.bsuite import EXPERIMENTS, Bsuite
from aimodels.errors import UserError

FILE = load_experiment(Path(__file__).parent.parent.parent / "experiments/rl/bsuite.py").module


def episode(environment, act, key):
    """Rewards of an episode, and whether it ended or was cut off."""

    def step(carry, key):
        state, observation, alive = carry
        after = environment.step(state, act(observation), key)
        ended = after.terminated | after.truncated
        outcome = after.reward * alive, alive, after.terminated & alive, after.truncated & alive
        return (after.state, after.observation, alive & ~ended), outcome

    begin_key, key = jax.random.split(key)
    carry = (*environment.reset(begin_key), jnp.asarray(True))
    _, outcomes = jax.lax.scan(step, carry, jax.random.split(key, 120))
    return [np.asarray(outcome) for outcome in outcomes]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_episodes_are_as_long_as_the_sweep_says_and_end(name):
    experiment = EXPERIMENTS[name]
    for setting in (experiment.settings[0], experiment.settings[7]):
        environment = Bsuite(name, setting)
        _, alive, ended, cut = episode(environment, lambda seen: jnp.int32(0), jax.random.key(1))
        assert alive.sum() == experiment.length(setting)
        assert ended.sum() == 1
        assert not cut.any()


def test_a_bandit_keeps_its_rewards_and_each_setting_has_its_own():
    def rewards(setting, key):
        return [
            float(episode(Bsuite("bandit", setting), lambda seen, a=a: jnp.int32(a), key)[0].sum())
            for a in range(11)
        ]

    first = rewards(0, jax.random.key(0))
    assert first == rewards(0, jax.random.key(1)) != rewards(1, jax.random.key(0))
    np.testing.assert_allclose(sorted(first), np.linspace(0, 1, 11), atol=1e-6)  # float32


@pytest.mark.parametrize(("setting", "scale"), [(0, 0.001), (7, 0.03), (19, 1000.0)])
def test_rewards_are_scaled_by_the_levels_of_the_suite(setting, scale):
    key = jax.random.key(0)
    for name, action in (("bandit", 3), ("catch", 1)):
        plain, scaled = (
            episode(Bsuite(id, setting), lambda seen, a=action: jnp.int32(a), key)[0]
            for id in (name, f"{name}_scale")
        )
        np.testing.assert_allclose(scaled, scale * plain, rtol=1e-6)  # float32


@pytest.mark.parametrize(("setting", "deviation"), [(0, 0.1), (7, 0.3), (19, 10.0)])
def test_rewards_have_the_noise_of_the_suite(setting, deviation):
    keys = jax.random.split(jax.random.key(0), 2000)
    plain, noisy = Bsuite("bandit", setting), Bsuite("bandit_noise", setting)
    state, _ = noisy.reset(keys[0])
    reward = plain.step(state, jnp.int32(3), keys[0]).reward
    noise = jax.vmap(lambda key: noisy.step(state, jnp.int32(3), key).reward)(keys) - reward
    # 4 standard errors
    assert abs(float(noise.mean())) < 4 * deviation / np.sqrt(2000)
    assert float(noise.std()) == pytest.approx(deviation, rel=4 / np.sqrt(4000))


@pytest.mark.parametrize("setting", [0, 3, 8])
def test_the_discounting_chain_pays_once_and_a_tenth_more_for_one_action(setting):
    environment = Bsuite("discounting_chain", setting)
    for action, time in enumerate((1, 3, 10, 30, 100)):
        rewards, *_ = episode(environment, lambda seen, a=action: jnp.int32(a), jax.random.key(0))
        assert rewards.nonzero()[0].tolist() == [time - 1]
        assert rewards.sum() == pytest.approx(1.1 if action == setting % 5 else 1.0)


def test_the_treasure_of_the_deep_sea_is_found_by_the_right_actions_alone():
    environment = Bsuite("deep_sea", 10)
    mapping = np.asarray(environment.reset(jax.random.key(0))[0].action_mapping)

    def right(seen):
        return jnp.asarray(mapping)[jnp.unravel_index(jnp.argmax(seen), seen.shape)]

    rewards, *_ = episode(environment, right, jax.random.key(0))
    assert rewards.sum() == pytest.approx(0.99)
    rewards, *_ = episode(environment, lambda seen: 1 - right(seen), jax.random.key(0))
    assert rewards.sum() == 0


def test_scores_are_those_of_the_suite():
    # 0 for chance, 1 for the best that can be had from the first episode on.
    chance = {"bandit": 0.5, "catch": -0.6, "discounting_chain": 1.0, "deep_sea": 0.0}
    best = {"bandit": 1.0, "catch": 1.0, "discounting_chain": 1.1, "deep_sea": 0.98}
    for name, mean in {**chance, "memory_len": 0.0, "umbrella_length": 0.0}.items():
        assert FILE.SCORES[name](mean) == pytest.approx(0.0, abs=1e-9)
    for name, mean in {**best, "memory_len": 0.9, "umbrella_length": 0.9}.items():
        assert FILE.SCORES[name](mean) == pytest.approx(1.0)
    for name, mean in {"bandit": 0.75, "catch": 0.2, "discounting_chain": 1.05}.items():
        assert FILE.SCORES[name](mean) == pytest.approx(0.5)
    for name, threshold in {"deep_sea": 0.099, "memory_len": 0.25, "umbrella_length": 0.5}.items():
        assert FILE.SCORES[name](threshold - 1e-6) == 0
        assert FILE.SCORES[name](threshold + 1e-6) == 1
    assert FILE.episodes("deep_sea", 10) == 1_124
    assert FILE.episodes("deep_sea", 20) == FILE.episodes("catch", 0) == 10_000


def test_mistakes_say_what_there_is():
    with pytest.raises(UserError, match=r"deep_see.*deep_sea"):
        Bsuite("deep_see")
    with pytest.raises(UserError, match=r"deep_sea has 10, 12, .* not 11"):
        Bsuite("deep_sea", 11)
