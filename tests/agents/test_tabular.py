"""Tabular agents: their rules by hand and against rlax, and what they converge to."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aimodels.agents.dynamic_programming import greedy, policy_values, value_iteration
from aimodels.agents.tabular import Tabular, draw, epsilon_greedy, td_errors
from aimodels.environments.base import Environment, Step, Transition
from aimodels.environments.toy_text import ToyText
from aimodels.errors import UserError
from aimodels.training.optimizers import make_optimizer

pytest.importorskip("gymnasium")
RULES = ("q_learning", "sarsa", "expected_sarsa")


def sgd(learning_rate, **fields):
    return make_optimizer({"name": "sgd", "learning_rate": learning_rate, **fields}, 10)


def transition(observation, action, reward, terminated, truncated, next_observation):
    count = len(observation)
    return Transition(
        observation=jnp.asarray(observation),
        action=jnp.asarray(action),
        reward=jnp.asarray(reward, jnp.float32),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        next_observation=jnp.asarray(next_observation),
        episode_return=jnp.zeros(count),
        episode_length=jnp.ones(count, jnp.int32),
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    # Q(s', ·) = (2, 6, 4), γ = 0.5, r = 1, Q(s, a) = 3. Watkins: 1 + 0.5 · 6 - 3 = 1.
    # SARSA, a' = 2: 1 + 0.5 · 4 - 3 = 0. Expected, π = (0.1, 0.8, 0.1): 1 + 0.5 · 5.4 - 3 = 0.7.
    [("q_learning", 1.0), ("sarsa", 0.0), ("expected_sarsa", 0.7)],
)
def test_errors_by_hand(rule, expected):
    q = jnp.array([[0.0, 3.0, 0.0], [2.0, 6.0, 4.0]])
    # Going on, cut off by a time limit, terminated, and both at once (which Copies calls
    # terminated): only an end that is one leaves out what would come.
    steps = transition(
        [0, 0, 0], [1, 1, 1], [1.0, 1.0, 1.0], [False, False, True], [False, True, False], [1, 1, 1]
    )
    policy = jnp.tile(jnp.array([0.1, 0.8, 0.1]), (3, 1))
    got = td_errors(rule, q, steps, policy, jnp.array([2, 2, 2]), 0.5)
    np.testing.assert_allclose(got, [expected, expected, 1 - 3], atol=1e-6)


def test_errors_are_those_of_rlax():
    rlax = pytest.importorskip("rlax")
    N, S, A, discount = 64, 7, 5, 0.9
    random = np.random.default_rng(0)
    q = jnp.asarray(random.normal(size=(S, A)), jnp.float32)
    s, s_next = random.integers(0, S, (2, N))
    a, a_next = random.integers(0, A, (2, N))
    ended = random.random(N) < 0.3
    steps = transition(s, a, random.normal(size=N), ended, ~ended, s_next)
    policy = epsilon_greedy(q[s_next], 0.3)
    gamma = discount * (1 - ended.astype(np.float32))
    common = (q[s], jnp.asarray(a), steps.reward, jnp.asarray(gamma), q[s_next])
    theirs = {
        "q_learning": jax.vmap(rlax.q_learning)(*common),
        "sarsa": jax.vmap(rlax.sarsa)(*common, jnp.asarray(a_next)),
        "expected_sarsa": jax.vmap(rlax.expected_sarsa)(*common, policy),
    }
    for rule in RULES:
        got = td_errors(rule, q, steps, policy, jnp.asarray(a_next), discount)
        np.testing.assert_allclose(got, theirs[rule], rtol=1e-6, atol=1e-6)


def test_epsilon_greedy_is_that_of_distrax_and_breaks_ties_at_random():
    distrax = pytest.importorskip("distrax")
    values = jnp.array([[1.0, 2.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
    for epsilon in (0.0, 0.1, 1.0):
        got = epsilon_greedy(values, epsilon)
        np.testing.assert_allclose(got, distrax.EpsilonGreedy(values, epsilon).probs, atol=1e-6)
    policy = epsilon_greedy(values[0], 0.2)  # 0.05, 0.45, 0.45, 0.05
    actions = draw(policy, jax.random.gumbel(jax.random.key(0), (20_000, 4)))
    expected = 20_000 * np.array([0.05, 0.45, 0.45, 0.05])
    counts = np.bincount(actions, minlength=4)
    assert ((counts - expected) ** 2 / expected).sum() < 21.1  # chi-square, 3 degrees, 99.99 %
    only = draw(epsilon_greedy(values[0], 0.0), jax.random.gumbel(jax.random.key(0), (20_000, 4)))
    assert set(np.unique(only)) == {1, 2}


@pytest.mark.parametrize("rule", RULES)
def test_training_steps_are_the_textbooks(rule):
    """Every step against the rule in NumPy, on a cliff where episodes are cut off soon."""
    cliff = ToyText("CliffWalking-v1", max_steps=12)
    table = cliff.transitions
    agent = Tabular(
        environment=cliff,
        discount=0.9,
        optimizer=sgd(0.5),
        rule=rule,
        environment_steps=1,
        epsilon=(0.3, 0.3),
    )
    train_step = jax.jit(agent.train_step)
    state = agent.init(jax.random.key(0), {})
    q = np.zeros((48, 4))
    truncated = 0
    for number in range(60):
        before = state
        state, _ = train_step(state, {}, jax.random.key(number))
        s, a = int(before.extra["running"].observation[0]), int(before.extra["action"][0])
        to, reward = table.next_state[s, a, 0], table.reward[s, a, 0]
        done = before.extra["running"].episode_length[0] == 11
        truncated += done
        values = {
            "q_learning": [q[to].max()],
            "expected_sarsa": [0.7 * q[to].max() + 0.3 * q[to].mean()],
            # What follows a cut is not done: any action's value may have been learned from.
            "sarsa": q[to] if done else [q[to, int(state.extra["action"][0])]],
        }[rule]
        got = np.array(state.params["q"])
        wanted = [q[s, a] + 0.5 * (reward + 0.9 * value - q[s, a]) for value in values]
        nearest = min(wanted, key=lambda value: abs(value - got[s, a]))
        assert got[s, a] == pytest.approx(nearest, abs=1e-4)
        q[s, a] = got[s, a]
        np.testing.assert_array_equal(got, q.astype(np.float32))
        assert int(state.extra["running"].observation[0]) == (36 if done else to)
    assert truncated >= 4


class Bandit(Environment):
    """One state, two actions; every episode is one step, which gives the number of its copy."""

    observation = jax.ShapeDtypeStruct((), jnp.int32)
    num_actions, num_states, max_steps = 2, 1, 1

    def reset(self, key):  # noqa: D102
        return jax.random.uniform(key), jnp.zeros((), jnp.int32)

    def step(self, state, action, key):  # noqa: D102
        end = jnp.ones((), bool)
        return Step(state, jnp.zeros((), jnp.int32), state, end, ~end)


def bandit(**fields):
    given = {"optimizer": sgd(1.0), "environment_steps": 1, "epsilon": (1.0, 1.0), **fields}
    return Tabular(environment=Bandit(), **given)


def test_environments_at_one_entry_make_one_update_by_their_mean():
    agent = bandit(environments=6, optimizer=sgd(0.5))
    before = agent.init(jax.random.key(1), {})
    state, _ = jax.jit(agent.train_step)(before, {}, jax.random.key(2))
    rewards, actions = before.extra["running"].state, np.array(before.extra["action"])
    assert 0 < actions.sum() < 6
    wanted = [0.5 * np.array(rewards)[actions == action].mean() for action in (0, 1)]
    np.testing.assert_allclose(state.params["q"][0], wanted, rtol=1e-6)
    np.testing.assert_array_equal(state.extra["visits"], [[1, 1]])


def test_visit_power_one_averages_all_rewards():
    agent = bandit(visit_power=1.0)
    train_step = jax.jit(agent.train_step)
    state = agent.init(jax.random.key(0), {})
    rewards = {0: [], 1: []}
    for number in range(25):
        rewards[int(state.extra["action"][0])].append(float(state.extra["running"].state[0]))
        state, _ = train_step(state, {}, jax.random.key(number))
    np.testing.assert_allclose(
        state.params["q"][0], [np.mean(rewards[0]), np.mean(rewards[1])], rtol=1e-5
    )


def test_the_schedule_counts_training_steps():
    # Nothing is learned from training step 2 on, with three updates in each.
    falling = sgd(0.5, schedule={"name": "step", "boundaries": (2,), "factor": 0.0})
    agent = bandit(optimizer=falling, environment_steps=3)
    state = agent.init(jax.random.key(0), {})
    tables = [state.params["q"]]
    train_step = jax.jit(agent.train_step)
    for number in range(4):
        state, _ = train_step(state, {}, jax.random.key(number))
        tables.append(state.params["q"])
    moved = [bool((old != new).any()) for old, new in itertools.pairwise(tables)]
    assert moved == [True, True, False, False]


def test_epsilon_falls_over_the_part_of_training_that_explores():
    agent = bandit(
        environment_steps=10, total_steps=100, epsilon=(1.0, 0.2), exploration_fraction=0.5
    )
    np.testing.assert_allclose(
        agent.epsilon_at(jnp.array([0, 250, 500, 1000])), [1, 0.6, 0.2, 0.2], rtol=1e-6
    )
    still = dataclasses.replace(agent, exploration_fraction=0.0)
    np.testing.assert_allclose(still.epsilon_at(jnp.array([1, 10])), [0.2, 0.2], rtol=1e-6)


def test_of_many_episodes_that_end_in_a_step_the_last_hundred_count():
    agent = bandit(environment_steps=70, environments=5)
    state, _ = jax.jit(agent.train_step)(agent.init(jax.random.key(0), {}), {}, jax.random.key(1))
    episodes = state.extra["episodes"]
    assert int(episodes.count) == 350
    steps = transition([0] * 350, [0] * 350, [0.0] * 350, [True] * 350, [False] * 350, [0] * 350)
    steps = steps.replace(episode_return=jnp.arange(350.0))
    counted = type(episodes).none().after(steps)
    assert sorted(counted.returns.tolist()) == list(range(250, 350))
    assert counted.returns[349 % 100] == 349
    assert counted.mean_return() == np.arange(250, 350).mean()


def test_initial_value_fills_the_table():
    state = bandit(initial_value=3.0).init(jax.random.key(0), {})
    np.testing.assert_array_equal(state.params["q"], [[3, 3]])


def training(agent):
    """A compiled function: seed -> the state after all steps."""

    def run(seed):
        key = jax.random.key(seed)

        def step(number, state):
            return agent.train_step(state, {}, jax.random.fold_in(key, number))[0]

        return jax.lax.fori_loop(0, agent.total_steps, step, agent.init(key, {}))

    return jax.jit(run)


def test_q_learning_converges_to_the_table_of_value_iteration():
    lake = ToyText("FrozenLake-v1")
    agent = Tabular(
        environment=lake,
        environments=8,
        discount=0.95,
        optimizer=optax.sgd(1.0),
        rule="q_learning",
        environment_steps=1000,
        epsilon=(1.0, 0.1),
        visit_power=0.6,
        total_steps=200,
    )
    state = training(agent)(0)
    q, visits = np.array(state.params["q"], np.float64), np.array(state.extra["visits"])
    optimum = value_iteration(lake.transitions, 0.95)
    seen = visits > 500
    assert seen.sum() >= 40  # of 44 that are no ends
    np.testing.assert_allclose(q[seen], optimum[seen], atol=0.03)
    best, got = (
        policy_values(lake.transitions, greedy(x), 0.95, horizon=500) for x in (optimum, q)
    )
    assert lake.begin @ got == pytest.approx(lake.begin @ best, abs=1e-6)
    # What the other rules would have converged to is farther away than that.
    assert np.abs(value_iteration(lake.transitions, 0.95, epsilon=0.1) - optimum)[seen].max() > 0.05


@pytest.mark.parametrize(
    ("rule", "power", "atol"), [("expected_sarsa", 0.0, 1e-3), ("sarsa", 0.7, 3)]
)
def test_on_policy_rules_converge_to_the_best_epsilon_greedy_policy(rule, power, atol):
    cliff = ToyText("CliffWalking-v1")
    agent = Tabular(
        environment=cliff,
        environments=8,
        discount=0.9,
        optimizer=optax.sgd(1.0 if power else 0.5),
        rule=rule,
        environment_steps=1000,
        epsilon=(0.3, 0.3),
        visit_power=power,
        total_steps=60,
    )
    state = training(agent)(0)
    seen = np.array(state.extra["visits"]) > 1000
    assert seen.sum() > 60
    wanted = value_iteration(cliff.transitions, 0.9, epsilon=0.3)
    np.testing.assert_allclose(np.array(state.params["q"])[seen], wanted[seen], atol=atol)
    off_policy = value_iteration(cliff.transitions, 0.9)
    assert np.abs(off_policy - wanted)[seen].max() > 10


def test_seeds_differ_and_a_seed_does_not():
    agent = Tabular(
        environment=ToyText("FrozenLake-v1"), optimizer=optax.sgd(0.5), epsilon=(1.0, 1.0)
    )
    run = training(agent)
    visits = [np.array(run(seed).extra["visits"]) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(visits[0], visits[1])
    assert (visits[0] != visits[2]).any()


def test_what_it_cant_learn_from_is_said():
    lake = ToyText("FrozenLake-v1")
    with pytest.raises(UserError, match="takes 'sgd' without momentum"):
        Tabular(environment=lake, optimizer=optax.adam(0.1)).init(jax.random.key(0), {})
    with pytest.raises(UserError, match=r"config\.optimizer is missing"):
        Tabular(environment=lake)
    gymnax = pytest.importorskip("gymnax")
    assert gymnax
    from aimodels.environments.gymnax import Gymnax

    with pytest.raises(UserError, match=r"toy_text.*float32 \(4,\)"):
        Tabular(environment=Gymnax("CartPole-v1"), optimizer=optax.sgd(0.1))


def test_a_run_from_a_config_is_evaluated_kept_and_loaded(tmp_path):
    import aimodels

    config = {
        "environment": {
            "name": "toy_text",
            "id": "FrozenLake-v1",
            "options": {"is_slippery": False},
        },
        "task": {"name": "tabular", "discount": 0.9, "epsilon": (1.0, 0.0)},
        "optimizer": {"name": "sgd", "learning_rate": 0.5},
        "training": {"steps": 100, "log_every": 50},
        "evaluation": {"batch_size": 20},
        "replicas": {"seeds": (0, 1), "mode": "vmap"},
        "execution": {"steps_per_dispatch": 50},
    }
    run = aimodels.train(config, tmp_path / "run", verbose=False)
    for replica in run.results["replicas"]:
        assert replica["metrics"]["test/return"] == 1
        assert replica["metrics"]["test/length"] == 6
    actions = aimodels.load(tmp_path / "run").predict([14, 10])
    assert actions.tolist() == [2, 1]  # right, to the goal; down, beside a hole
