"""PPO on CartPole as a good JAX user writes it by hand: all of it is one compiled function.

The structure is that of purejaxrl (Lu et al., "Discovered Policy Optimisation", NeurIPS 2022): a
scan over iterations, in each a scan over the environments' steps with gymnax's own automatic reset,
advantages by a scan backwards, a scan over epochs and one over minibatches. Its settings are
CleanRL's, as in experiments/rl/classic_control.py. It neither evaluates nor logs nor saves; the
returns of finished episodes come out at the end.

Usage: handwritten_ppo.py ITERATIONS, which prints {"steps_per_second", "compile_seconds",
"last_return"}; NPROC in the environment is the number of XLA's threads.
"""

import json
import sys
import time
from typing import Any, NamedTuple

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import optax
from flax.training.train_state import TrainState

ENVIRONMENTS, ROLLOUT, EPOCHS, MINIBATCHES = 4, 128, 4, 4
BATCH = ENVIRONMENTS * ROLLOUT
DISCOUNT, TRACE, CLIP, ENTROPY, VALUE = 0.99, 0.95, 0.2, 0.01, 0.5
LEARNING_RATE, LONGEST_GRADIENT = 2.5e-4, 0.5


class Network(nn.Module):
    """Policy and value, each with two hidden layers of 64."""

    actions: int

    @nn.compact
    def __call__(self, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[..., 4] -> logits [..., A], values [...]."""

        def tower(outputs: int, gain: float) -> jax.Array:
            hidden = observation
            for _ in range(2):
                hidden = nn.tanh(
                    nn.Dense(64, kernel_init=nn.initializers.orthogonal(2**0.5))(hidden)
                )
            return nn.Dense(outputs, kernel_init=nn.initializers.orthogonal(gain))(hidden)

        return tower(self.actions, 0.01), tower(1, 1.0)[..., 0]


class Seen(NamedTuple):
    """A step of all environments, [N, ...]; `total` is the return where an episode ended."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    done: jax.Array
    value: jax.Array
    log_probability: jax.Array
    total: jax.Array


def log_probability_of(logits: jax.Array, action: jax.Array) -> jax.Array:
    """Of actions [...] under logits [..., A]."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), action[..., None], -1)[..., 0]


def make_train(iterations: int) -> Any:
    """A function: key -> the last state and the returns of episodes, [iterations, T, N]."""
    environment, parameters = gymnax.make("CartPole-v1")
    network = Network(environment.num_actions)
    reset = jax.vmap(environment.reset, in_axes=(0, None))
    step = jax.vmap(environment.step, in_axes=(0, 0, 0, None))

    def rate(count: jax.Array) -> jax.Array:
        return LEARNING_RATE * (1 - count // (EPOCHS * MINIBATCHES) / iterations)

    def act(carry: tuple, _: None) -> tuple[tuple, Seen]:
        train, state, observation, totals, key = carry
        key, act_key, step_key = jax.random.split(key, 3)
        logits, value = network.apply(train.params, observation)
        action = jax.random.categorical(act_key, logits)
        keys = jax.random.split(step_key, ENVIRONMENTS)
        following, state, reward, terminated, truncated, _ = step(keys, state, action, parameters)
        done = terminated | truncated
        totals = totals + reward
        chosen = log_probability_of(logits, action)
        ended = jnp.where(done, totals, jnp.nan)
        seen = Seen(observation, action, reward, done, value, chosen, ended)
        return (train, state, following, totals * ~done, key), seen

    def advantages_of(seen: Seen, last_value: jax.Array) -> jax.Array:
        def back(carry: tuple, one: Seen) -> tuple[tuple, jax.Array]:
            advantage, following = carry
            error = one.reward + DISCOUNT * following * ~one.done - one.value
            advantage = error + DISCOUNT * TRACE * ~one.done * advantage
            return (advantage, one.value), advantage

        begin = jnp.zeros_like(last_value), last_value
        return jax.lax.scan(back, begin, seen, reverse=True, unroll=16)[1]

    def loss_of(params: Any, seen: Seen, advantage: jax.Array, target: jax.Array) -> jax.Array:
        logits, value = network.apply(params, seen.observation)
        ratio = jnp.exp(log_probability_of(logits, seen.action) - seen.log_probability)
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage)
        near = seen.value + jnp.clip(value - seen.value, -CLIP, CLIP)
        errors = jnp.maximum((value - target) ** 2, (near - target) ** 2)
        log = jax.nn.log_softmax(logits)
        entropy = -(jnp.exp(log) * log).sum(-1).mean()
        return -gain.mean() + VALUE * 0.5 * errors.mean() - ENTROPY * entropy

    def minibatch(train: TrainState, batch: tuple) -> tuple[TrainState, jax.Array]:
        loss, gradients = jax.value_and_grad(loss_of)(train.params, *batch)
        return train.apply_gradients(grads=gradients), loss

    def iteration(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
        carry, seen = jax.lax.scan(act, carry, None, ROLLOUT)
        train, state, observation, totals, key = carry
        advantage = advantages_of(seen, network.apply(train.params, observation)[1])
        whole = seen, advantage, advantage + seen.value
        flat = jax.tree.map(lambda leaf: leaf.reshape(BATCH, *leaf.shape[2:]), whole)

        def epoch(train: TrainState, key: jax.Array) -> tuple[TrainState, jax.Array]:
            order = jax.random.permutation(key, BATCH)
            shuffled = jax.tree.map(lambda leaf: leaf[order], flat)
            parts = jax.tree.map(
                lambda leaf: leaf.reshape(MINIBATCHES, -1, *leaf.shape[1:]), shuffled
            )
            return jax.lax.scan(minibatch, train, parts)

        key, epoch_key = jax.random.split(key)
        train, _ = jax.lax.scan(epoch, train, jax.random.split(epoch_key, EPOCHS))
        return (train, state, observation, totals, key), seen.total

    def train(key: jax.Array) -> tuple[tuple, jax.Array]:
        key, init_key, reset_key = jax.random.split(key, 3)
        observation, state = reset(jax.random.split(reset_key, ENVIRONMENTS), parameters)
        optimizer = optax.chain(
            optax.clip_by_global_norm(LONGEST_GRADIENT), optax.adam(rate, eps=1e-5)
        )
        params = network.init(init_key, observation)
        began = TrainState.create(apply_fn=network.apply, params=params, tx=optimizer)
        carry = began, state, observation, jnp.zeros(ENVIRONMENTS), key
        return jax.lax.scan(iteration, carry, None, iterations)

    return train


def main() -> None:
    iterations = int(sys.argv[1])
    begin = time.perf_counter()
    compiled = jax.jit(make_train(iterations)).lower(jax.random.key(0)).compile()
    ready = time.perf_counter()
    _, totals = jax.block_until_ready(compiled(jax.random.key(1)))
    seconds = time.perf_counter() - ready
    ended = totals[~jnp.isnan(totals)][-100:]
    result = {
        "steps_per_second": iterations * BATCH / seconds,
        "compile_seconds": ready - begin,
        "last_return": float(ended.mean()) if len(ended) else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
