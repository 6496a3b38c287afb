"""Searches of a game tree, by mctx: AlphaZero's, Gumbel AlphaZero's, and plain Monte Carlo's.

mctx is DeepMind's (Babuschkin et al., "The DeepMind JAX Ecosystem", 2020). All searches are of B
positions at once.

Shapes: B games, A actions.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from aimodels.environments.extra import needed
from aimodels.environments.games import Array, Game

# Observations [B, H, W, C] -> logits [B, A] and values [B] for the player to move.
Evaluate = Callable[[Array], tuple[Array, Array]]
# (states of B games, key) -> actions int32 [B].
Player = Callable[[Any, Array], Array]


def legal_logits(logits: Array, legal: Array) -> Array:
    """Logits [B, A], the lowest there are for what is not legal [B, A]."""
    return jnp.where(legal, logits, jnp.finfo(logits.dtype).min)


def move(game: Game, states: Any, actions: Array) -> tuple[Any, Array, Array]:
    """What actions [B] lead to.

    Returns:
      The states, the rewards [B] of those who moved, and the discounts [B] of what comes: -1, for
      the other's gain is a loss, and 0 once the game has ended.
    """
    after = jax.vmap(game.step)(states, actions)
    rewards = jnp.take_along_axis(after.rewards, states.current_player[:, None], 1)[:, 0]
    return after, rewards, jnp.where(after.terminated, 0.0, -1.0)


@dataclasses.dataclass(frozen=True)
class TreeSearch:
    """A tree search that a network guides.

    Attributes:
      game: whose rules it knows.
      simulations: positions that are added to the tree before a move.
      kind: `puct` is AlphaZero's: actions by Q + U, targets the shares of visits; `gumbel` is
        Danihelka et al., "Policy improvement by planning with Gumbel", ICLR 2022, whose targets
        improve on the policy with few simulations too.
      exploration: c_init of U, with Q in 0 (lost) to 1 (won). An action without visits has Q = 0.
      noise_fraction: ε, of Dirichlet noise in the root's policy.
      noise_concentration: α of that noise; about 10 over the usual number of legal moves.
      considered: actions that `gumbel` tries at the root, at most.
    """

    game: Game
    simulations: int
    kind: Literal["puct", "gumbel"] = "puct"
    exploration: float = 1.25
    noise_fraction: float = 0.25
    noise_concentration: float = 0.3
    considered: int = 16

    def __call__(
        self, evaluate: Evaluate, states: Any, key: Array, temperature: Any, noisy: bool
    ) -> Any:
        """What mctx returns: `action` int32 [B], `action_weights` [B, A], and the `search_tree`.

        Args:
          evaluate: the network.
          states: of B games.
          key: for chance.
          temperature: [B] or a number: actions are drawn by visits to the power of one over it; 0
            takes the most visited. `gumbel` has none, it draws by its own noise.
          noisy: whether to explore, as in self-play.
        """
        mctx = needed("mctx", "task alphazero")
        logits, values = evaluate(states.observation)
        root = mctx.RootFnOutput(prior_logits=logits, value=values, embedding=states)

        def expand(params: Any, key: Array, actions: Array, states: Any) -> tuple[Any, Any]:
            del params, key
            after, rewards, discounts = move(self.game, states, actions)
            logits, values = evaluate(after.observation)
            output = mctx.RecurrentFnOutput(
                reward=rewards,
                discount=discounts,
                prior_logits=legal_logits(logits, after.legal_action_mask),
                value=jnp.where(after.terminated, 0.0, values),
            )
            return output, after

        common = {
            "params": (),
            "rng_key": key,
            "root": root,
            "recurrent_fn": expand,
            "num_simulations": self.simulations,
            "invalid_actions": ~states.legal_action_mask,
        }
        if self.kind == "gumbel":
            return mctx.gumbel_muzero_policy(
                **common,
                max_num_considered_actions=self.considered,
                gumbel_scale=1.0 if noisy else 0.0,
            )
        return mctx.muzero_policy(
            **common,
            qtransform=_between_lost_and_won,
            dirichlet_fraction=self.noise_fraction if noisy else 0.0,
            dirichlet_alpha=self.noise_concentration,
            pb_c_init=self.exploration,
            temperature=jnp.broadcast_to(jnp.asarray(temperature), values.shape)[:, None],
        )

    def player(self, evaluate: Evaluate) -> Player:
        """Who plays without noise, and takes the best move."""
        return lambda states, key: self(evaluate, states, key, 0.0, noisy=False).action

    def choices(self, evaluate: Evaluate, states: Any, key: Array) -> Array:
        """Which actions that player may take, bool [B, A]: `puct` draws one of the most visited."""
        found = self(evaluate, states, key, 0.0, noisy=False)
        weights = found.action_weights
        if self.kind == "gumbel":  # it has none left to chance, and its weights are no visits
            return jax.nn.one_hot(found.action, weights.shape[-1], dtype=bool)
        return weights == weights.max(-1, keepdims=True)


def _between_lost_and_won(tree: Any, node: Array) -> Array:
    return needed("mctx", "task alphazero").qtransform_by_min_max(
        tree, node, min_value=-1.0, max_value=1.0
    )


@dataclasses.dataclass(frozen=True)
class MonteCarlo:
    """Plain Monte Carlo tree search: all actions alike at first, values from random games.

    UCT (Kocsis & Szepesvári, "Bandit based Monte-Carlo Planning", ECML 2006): after each action has
    been tried once, the one with the largest Q + c √(ln N / n), for Q in -1 (lost) to 1 (won).

    Attributes:
      game: whose rules it knows.
      simulations: positions that are added to the tree before a move, and random games.
      exploration: c.
    """

    game: Game
    simulations: int
    exploration: float = 1.4

    def __call__(self, states: Any, key: Array) -> Any:
        """The tree, as mctx has it, of each of B positions."""
        mctx = needed("mctx", "plain Monte Carlo tree search")
        root_key, key = jax.random.split(key)
        # Priors say no more than what is legal.
        legal = states.legal_action_mask
        root = mctx.RootFnOutput(
            prior_logits=legal.astype(jnp.float32),
            value=random_games(self.game, states, root_key),
            embedding=states,
        )

        def expand(params: Any, key: Array, actions: Array, states: Any) -> tuple[Any, Any]:
            del params
            after, rewards, discounts = move(self.game, states, actions)
            output = mctx.RecurrentFnOutput(
                reward=rewards,
                discount=discounts,
                prior_logits=after.legal_action_mask.astype(jnp.float32),
                value=random_games(self.game, after, key),
            )
            return output, after

        def select(key: Array, tree: Any, node: Array, depth: Array | int = 0) -> Array:
            del depth
            visits = tree.children_visits[node]
            bonus = jnp.sqrt(jnp.log(tree.node_visits[node]) / jnp.maximum(visits, 1))
            score = tree.qvalues(node) + self.exploration * bonus
            # One of those without a visit, by chance.
            first = 1e6 + jax.random.uniform(key, visits.shape)
            score = jnp.where(visits > 0, score, first)
            return jnp.argmax(jnp.where(tree.children_prior_logits[node] > 0, score, -jnp.inf))

        return mctx.search(
            params=(),
            rng_key=key,
            root=root,
            recurrent_fn=expand,
            root_action_selection_fn=select,
            interior_action_selection_fn=select,
            num_simulations=self.simulations,
            invalid_actions=~legal,
        )

    def player(self) -> Player:
        """Who takes the most visited move; of several, by chance."""

        def act(states: Any, key: Array) -> Array:
            draw_key, key = jax.random.split(key)
            visits = self(states, key).children_visits[:, 0]
            return jnp.argmax(visits + jax.random.uniform(draw_key, visits.shape), -1)

        return act


def random_legal(legal: Array, key: Array) -> Array:
    """One legal action each, all alike: int32 [B] for bool [B, A]."""
    noise = jax.random.uniform(key, legal.shape)
    return jnp.argmax(jnp.where(legal, noise, -1.0), -1).astype(jnp.int32)


def random_games(game: Game, states: Any, key: Array) -> Array:
    """What random moves to the end give the player to move in each state, [B]."""
    player = states.current_player

    def step(carry: tuple) -> tuple:
        time, states, results = carry
        actions = random_legal(states.legal_action_mask, jax.random.fold_in(key, time))
        after = jax.vmap(game.step)(states, actions)
        # After the end there are no rewards, so the only ones are those of the end.
        results += jnp.take_along_axis(after.rewards, player[:, None], 1)[:, 0]
        return time + 1, after, results

    def goes_on(carry: tuple) -> Array:
        return ~carry[1].terminated.all()

    carry = 0, states, jnp.zeros(player.shape)
    return jax.lax.while_loop(goes_on, step, carry)[2]
