"""AlphaZero: Silver et al., Science 2018 (arXiv:1712.01815).

"A general reinforcement learning algorithm that masters chess, shogi, and Go through self-play". It
plays itself by a tree search that its network guides, and the network learns what the search
made of each position and how the game ended: loss = (z - v)² - π · log p + c |θ|², whose last term
is the optimizer's field `l2` = 2 c. As the paper's, and unlike AlphaGo Zero's, one network is
trained all the time and plays. The search of Danihelka et al. (ICLR 2022) is a field.

Where it differs: a step makes some moves of many games, then some updates; in the paper both go on
at the same time on many machines. Positions come to the memory when their game has ended.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import clu.metrics
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from aimodels.agents.base import initial_variables
from aimodels.agents.game_tree import game_tree, lost_lines
from aimodels.agents.matches import match
from aimodels.agents.search import Evaluate, MonteCarlo, Player, TreeSearch
from aimodels.agents.self_play import Ended, Memory, Running, self_play
from aimodels.config.schema import Fraction, NotNegative, Positive
from aimodels.environments.games import Array, Game, check_game
from aimodels.errors import UserError
from aimodels.tasks.base import Batch, State, Task
from aimodels.tasks.metrics import Mean
from aimodels.tasks.updates import norms


@flax.struct.dataclass
class Score(clu.metrics.Metric):
    """Of games against another player.

    Attributes:
      wins: the share that was won.
      draws: the share that was drawn.
    """

    wins: Mean
    draws: Mean

    @classmethod
    def from_model_output(cls, *, results: Array, mask: Array, **_: Any) -> "Score":
        """From results [B], 1, 0 or -1, of which those of `mask` [B] count."""
        return cls(Mean.of(results > 0, mask), Mean.of(results == 0, mask))

    @classmethod
    def empty(cls) -> "Score":
        """Of no games."""
        return cls(Mean.empty(), Mean.empty())

    def merge(self, other: "Score") -> "Score":
        """Of both."""
        return Score(self.wins.merge(other.wins), self.draws.merge(other.draws))

    def compute(self) -> dict[str, Array]:
        """`score`, a draw being half a win, and the shares `wins` and `draws`."""
        wins, draws = self.wins.compute(), self.draws.compute()
        return {"score": wins + draws / 2, "wins": wins, "draws": draws}


@flax.struct.dataclass
class Matches(clu.metrics.Collection):
    """Of games against plain Monte Carlo tree search."""

    played: Score


@flax.struct.dataclass
class Lines(Mean):
    """Lines that are lost; of several batches, which all count the same lines, the mean."""

    @classmethod
    def from_model_output(cls, *, lost_lines: Array, **_: Any) -> "Lines":
        """From the number."""
        return cls.of(lost_lines[None], jnp.ones(1, bool))


@flax.struct.dataclass
class MatchesAndLines(clu.metrics.Collection):
    """Also of all lines of the game's tree, see `lost_lines`."""

    played: Score
    lost_lines: Lines


@dataclasses.dataclass(frozen=True)
class AlphaZero(Task):
    """A training step is some moves of each of N games, and some updates.

    `state.extra` has `running`, `memory`, and `last`, what is known of games that ended.

    Attributes:
      model: observations [B, H, W, C] -> the policy's logits [B, A] and values [B].
      optimizer: of the network.
      environment: the game.
      games: N, at once.
      moves: T, of each game in a step.
      simulations: of the search before each move.
      search: `puct`, the paper's, or `gumbel`; see `TreeSearch`, also for the next four.
      exploration: c_init of `puct`.
      noise_fraction: ε of the noise at the root, for `puct`.
      noise_concentration: α of that noise.
      considered: actions that `gumbel` tries at the root, at most.
      temperature_moves: of a game of self-play, that are drawn by visits; for `puct`.
      updates: U, of a step.
      batch_size: B, positions of an update.
      capacity: M, positions in the memory, a multiple of N.
      learning_starts: positions of ended games before the first update.
      mirror: whether each position that is learned from is mirrored by an even chance. The paper
        has no symmetries.
      opponent_simulations: of the plain Monte Carlo tree search it is evaluated against.
      opening_moves: random ones in those games.
      exhaustive: whether an evaluation also counts `lost_lines`, for games as small as tic-tac-toe.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    environment: Game
    games: Positive = 128
    moves: Positive = 8
    simulations: Positive = 32
    search: Literal["puct", "gumbel"] = "puct"
    exploration: float = 1.25
    noise_fraction: Fraction = 0.25
    noise_concentration: float = 0.3
    considered: Positive = 16
    temperature_moves: NotNegative = 30
    updates: Positive = 8
    batch_size: Positive = 256
    capacity: Positive = 64_000
    learning_starts: Positive = 1
    mirror: bool = False
    opponent_simulations: Positive = 100
    opening_moves: NotNegative = 0
    exhaustive: bool = False

    def __post_init__(self) -> None:
        check_game("alphazero", self.environment)

    @classmethod
    def updates_per_step(cls, fields: Mapping[str, Any]) -> int:
        """U."""
        return fields["updates"]

    @property
    def tree_search(self) -> TreeSearch:
        """Before each move."""
        return TreeSearch(
            game=self.environment,
            simulations=self.simulations,
            kind=self.search,
            exploration=self.exploration,
            noise_fraction=self.noise_fraction,
            noise_concentration=self.noise_concentration,
            considered=self.considered,
        )

    def init(self, key: Array, batch: Batch) -> State:
        """A new network, games at their beginning, and an empty memory.

        Raises:
          UserError: if the network does not suit, or the memory can't be divided among the games,
            or holds no whole game.
        """
        del batch
        least = self.games * self.environment.max_steps
        if self.capacity % self.games or self.capacity < least:
            fits = max(-(-self.capacity // self.games) * self.games, least)
            raise UserError(
                f"task.capacity: {self.capacity} positions; it takes a multiple of task.games "
                f"({self.games}) that has room for each game's {self.environment.max_steps} moves: "
                f"{fits}"
            )
        params_key, begin_key = jax.random.split(key)
        outputs = {"a policy's logits": (self.environment.num_actions,), "a value": ()}
        variables = initial_variables(self, params_key, outputs, "AlphaZeroNetwork")
        params = variables.pop("params")
        rows = self.capacity // self.games
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            optimizer_state=self.optimizer.init(params),
            collections=variables,
            extra={
                "running": Running.begin(self.environment, self.games, begin_key),
                "memory": Memory.empty(self.environment, rows, self.games),
                "last": {name: jnp.zeros(()) for name in ("game_length", "first_score", "draws")},
            },
        )

    def evaluate(self, variables: Mapping[str, Any]) -> Evaluate:
        """The network with such variables, its running statistics among them."""

        def of(observation: Array) -> tuple[Array, Array]:
            outputs: Any = self.model.apply(variables, observation)
            logits, values = outputs
            exact = jnp.promote_types(logits.dtype, jnp.float32)
            return logits.astype(exact), values.astype(exact)

        return of

    def player(self, variables: Mapping[str, Any], simulations: int | None = None) -> Player:
        """Who plays with such variables, as strongly as it can."""
        search = self.tree_search
        if simulations is not None:
            search = dataclasses.replace(search, simulations=simulations)
        return search.player(self.evaluate(variables))

    def train_step(self, state: State, batch: Batch, key: Array) -> tuple[State, dict[str, Any]]:
        """Moves of each game, and updates. Metrics are means over them; norms of the last one."""
        del batch
        play_key, learn_key = jax.random.split(key)
        running, memory, about = self_play(
            self.tree_search,
            self.evaluate(state.variables),
            state.extra["running"],
            state.extra["memory"],
            self.moves,
            self.temperature_moves,
            play_key,
        )
        learning = memory.number() >= self.learning_starts

        def update(carry: tuple, key: Array) -> tuple:
            params, optimizer_state, collections, _, _ = carry
            examples = self.examples(memory, key)
            gradients, (metrics, after) = jax.grad(self.loss, has_aux=True)(
                params, collections, examples
            )
            updates, new_state = self.optimizer.update(gradients, optimizer_state, params)
            learned = optax.apply_updates(params, updates), new_state, after
            carry = optax.tree.where(learning, learned, (params, optimizer_state, collections))
            return (*carry, gradients, updates), metrics

        nothing = jax.tree.map(jnp.zeros_like, state.params)
        carry = state.params, state.optimizer_state, state.collections, nothing, nothing
        carry, metrics = jax.lax.scan(update, carry, jax.random.split(learn_key, self.updates))
        params, optimizer_state, collections, gradients, updates = carry
        last = _last(state.extra["last"], about)
        state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=params,
            optimizer_state=optimizer_state,
            collections=collections,
            extra={"running": running, "memory": memory, "last": last},
        )
        metrics = {name: values.mean() * learning for name, values in metrics.items()}
        return state, metrics | last | norms(gradients, updates)

    def examples(self, memory: Memory, key: Array) -> dict[str, Array]:
        """A sample of the memory, mirrored by an even chance if that is on."""
        sample_key, mirror_key = jax.random.split(key)
        sample = memory.sample(sample_key, self.batch_size)
        if not self.mirror:
            return sample
        observation, policy = sample["observation"], sample["policy"]
        other, policy_of_other = self.environment.mirrored(observation, policy)
        flips = jax.random.bernoulli(mirror_key, shape=(self.batch_size,))
        return sample | {
            "observation": jnp.where(flips[:, None, None, None], other, observation),
            "policy": jnp.where(flips[:, None], policy_of_other, policy),
        }

    def loss(self, params: Any, collections: Any, examples: dict[str, Array]) -> tuple[Array, Any]:
        """The paper's loss without its last term, with metrics and the collections afterwards.

        `target_entropy` is the least that `policy_loss` can be.
        """
        outputs, after = self.model.apply(
            {"params": params, **collections},
            examples["observation"],
            train=True,
            mutable=list(collections),
        )
        logits, values = jax.tree.map(lambda x: x.astype(jnp.float32), outputs)
        policy = examples["policy"]
        policy_loss = optax.softmax_cross_entropy(logits, policy).mean()
        value_loss = jnp.square(values - examples["outcome"]).mean()
        loss = policy_loss + value_loss
        return loss, (
            {
                "loss": loss,
                "policy_loss": policy_loss,
                "value_loss": value_loss,
                "target_entropy": -jax.scipy.special.xlogy(policy, policy).sum(-1).mean(),
            },
            dict(after),
        )

    def eval_step(self, state: State, batch: Batch, key: Array) -> clu.metrics.Collection:
        """`score` of games with plain Monte Carlo tree search; with `exhaustive`, `lost_lines`.

        Each begins half of the games.
        """
        mask = batch["mask"]
        match_key, lines_key = jax.random.split(key)
        own = self.player(state.variables)
        other = MonteCarlo(self.environment, self.opponent_simulations).player()
        results = match(self.environment, own, other, len(mask), match_key, self.opening_moves)
        if not self.exhaustive:
            return Matches.single_from_model_output(results=results, mask=mask)
        tree = game_tree(self.environment)
        evaluate = self.evaluate(state.variables)
        lost = lost_lines(tree, self.tree_search.choices(evaluate, tree.states, lines_key))
        return MatchesAndLines.single_from_model_output(
            results=results, mask=mask, lost_lines=lost.astype(jnp.float32)
        )

    def predict(self, state: State, batch: Batch) -> Array:
        """The network's own probabilities of actions [B, A] for the batch's `inputs` [B, H, W, C].

        Without a search; what is not legal is not known here.
        """
        return jax.nn.softmax(self.evaluate(state.variables)(batch["inputs"])[0])


def checked(task: Task, who: str) -> AlphaZero:
    """The task of a run as an AlphaZero.

    Raises:
      UserError: if it is another one's; `who` wants it is in the message.
    """
    if not isinstance(task, AlphaZero):
        raise UserError(f"{who} takes a run of task alphazero; this one is {type(task).__name__}")
    return task


def _last(before: dict[str, Array], about: Ended) -> dict[str, Array]:
    """Means over the games that ended; what was known before where none did."""
    number = about.ended.sum()
    values = {
        "game_length": about.length,
        "first_score": about.first_score,
        "draws": about.drawn,
    }
    return {
        name: jnp.where(
            number > 0, (value * about.ended).sum() / jnp.maximum(number, 1), before[name]
        )
        for name, value in values.items()
    }
