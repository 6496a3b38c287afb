"""Searches on positions whose values are known, matches, and the tree of tic-tac-toe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aimodels.agents.game_tree import game_tree, lost_lines
from aimodels.agents.matches import match
from aimodels.agents.search import MonteCarlo, TreeSearch, random_games, random_legal
from aimodels.environments.games import Pgx
from aimodels.errors import UserError

TIC_TAC_TOE, CONNECT_FOUR = Pgx("tic_tac_toe"), Pgx("connect_four")


def states_after(game, games):
    """States [B, ...] after the moves of each game."""
    step = jax.jit(game.step)
    states = []
    for moves in games:
        state = game.init(jax.random.key(0))
        for action in moves:
            state = step(state, action)
        states.append(state)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def uniform(actions):
    """A network that knows nothing."""
    return lambda seen: (jnp.zeros((len(seen), actions)), jnp.zeros(len(seen)))


# Moves so far, and the one that is right: the first two win at once, the others don't lose at once.
KNOWN = {
    "tic_tac_toe": (
        TIC_TAC_TOE,
        [([0, 3, 1, 4], 2), ([8, 0, 7, 1, 5], 2), ([0, 3, 1], 2), ([0, 8, 4, 2], 5)],
    ),
    "connect_four": (
        CONNECT_FOUR,
        [
            ([0, 6, 1, 6, 2, 6], 3),  # a row
            ([3, 2, 3, 2, 3, 2], 3),  # a column
            ([3, 0, 3, 0, 3], 3),  # a column of the other's
            ([6, 1, 6, 2, 0, 3], 4),  # the other's row, which has one end free
        ],
    ),
}


@pytest.mark.parametrize("kind", ["puct", "gumbel"])
@pytest.mark.parametrize("id", KNOWN)
def test_a_search_without_knowledge_wins_and_blocks(kind, id):
    game, positions = KNOWN[id]
    states = states_after(game, [moves for moves, _ in positions])
    search = TreeSearch(game, simulations=200, kind=kind)
    player = search.player(uniform(game.num_actions))
    found = jax.jit(player)(states, jax.random.key(0))
    np.testing.assert_array_equal(found, [action for _, action in positions])


@pytest.mark.parametrize("id", KNOWN)
def test_plain_monte_carlo_wins_and_blocks(id):
    game, positions = KNOWN[id]
    states = states_after(game, [moves for moves, _ in positions])
    found = jax.jit(MonteCarlo(game, 500).player())(states, jax.random.key(0))
    np.testing.assert_array_equal(found, [action for _, action in positions])


@pytest.mark.parametrize("kind", ["puct", "gumbel"])
def test_nothing_illegal_is_proposed_or_taught(kind):
    """Nor where the network wants nothing else, nor at the end of the game."""
    moves = [[4, 0, 8], [0, 1, 2, 4, 3, 5, 7, 6], [0, 3, 1, 4]]
    states = states_after(TIC_TAC_TOE, moves)
    legal = np.asarray(states.legal_action_mask)

    def evaluate(seen):
        taken = seen.any(-1).reshape(len(seen), -1)
        return 20.0 * taken, jnp.zeros(len(seen))

    search = TreeSearch(TIC_TAC_TOE, simulations=16, kind=kind)
    for noisy in (False, True):
        found = search(evaluate, states, jax.random.key(1), jnp.ones(3), noisy=noisy)
        weights = np.asarray(found.action_weights)
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
        np.testing.assert_array_equal(weights[~legal], 0)
        assert legal[range(3), found.action].all()
        visits = np.asarray(found.search_tree.summary().visit_counts)
        assert (visits[~legal] == 0).all()


def test_the_tree_of_tic_tac_toe_is_the_known_one():
    """5,478 positions, of which 958 are ends: 626 won by who began, 316 by the other, 16 drawn."""
    tree = game_tree(TIC_TAC_TOE)
    assert len(tree.terminated) == 5478
    ends = tree.terminated
    odd = tree.moves % 2 == 1
    assert (ends & odd & (tree.outcome < 0)).sum() == 626
    assert (ends & ~odd & (tree.outcome < 0)).sum() == 316
    assert (ends & (tree.outcome == 0)).sum() == 16
    assert tree.values[0] == 0
    # A corner is answered in the middle alone.
    corner = tree.children[0, 0]
    drawing = [a for a in range(1, 9) if tree.values[tree.children[corner, a]] == 0]
    assert drawing == [4]


def test_who_plays_by_the_tree_loses_no_line_and_others_do():
    tree = game_tree(TIC_TAC_TOE)
    children = tree.children
    of_child = np.where(children >= 0, -tree.values[children], -np.inf)
    best = jax.nn.one_hot(of_child.argmax(1), 9, dtype=bool)
    assert int(lost_lines(tree, best)) == 0
    assert int(lost_lines(tree, of_child == of_child.max(1, keepdims=True))) == 0
    # One mistake, the corner answered on the side, loses just what follows from it, also where the
    # right answer is as likely.
    corner = children[0, 0]
    alone = best.at[corner].set(jax.nn.one_hot(1, 9, dtype=bool))
    lost = int(lost_lines(tree, alone))
    assert 0 < lost < 50
    assert int(lost_lines(tree, best.at[corner, 1].set(True))) == lost
    legal = tree.states.legal_action_mask
    first = jax.nn.one_hot(legal.argmax(1), 9, dtype=bool)
    last = jax.nn.one_hot(8 - legal[:, ::-1].argmax(1), 9, dtype=bool)
    for choices in (first, first | last):
        assert int(lost_lines(tree, choices)) == lines_lost_by_hand(tree, np.asarray(choices))


def test_all_moves_that_a_search_draws_from_are_choices():
    """Where each move seems lost, 9 simulations visit each square once, and one is drawn."""

    def evaluate(seen):
        return jnp.zeros((len(seen), 9)), jnp.ones(len(seen))

    states = states_after(TIC_TAC_TOE, [[], [0, 3, 1, 4]])
    search = TreeSearch(TIC_TAC_TOE, simulations=9)
    found = jax.jit(lambda key: search.choices(evaluate, states, key))(jax.random.key(0))
    assert found[0].all()
    np.testing.assert_array_equal(np.flatnonzero(found[1]), [2])  # it wins at once
    player = jax.jit(lambda key: search.player(evaluate)(states, key))
    drawn = np.stack([player(jax.random.key(key)) for key in range(10)])
    assert len(np.unique(drawn[:, 0])) > 1
    assert (drawn[:, 1] == 2).all()
    gumbel = TreeSearch(TIC_TAC_TOE, simulations=9, kind="gumbel")
    found = jax.jit(lambda key: gumbel.choices(evaluate, states, key))(jax.random.key(0))
    np.testing.assert_array_equal(found.sum(1), 1)
    assert found[1, 2]


def lines_lost_by_hand(tree, choices):
    """The same, by playing all of them."""

    def lost(number, own):
        if tree.terminated[number]:
            return int(tree.outcome[number] == (-1 if own else 1))
        children = tree.children[number]
        after = children[choices[number]] if own else children[children >= 0]
        return sum(lost(child, not own) for child in after)

    roots = [0, *tree.children[0]]
    return sum(lost(root, own) for root in roots for own in (False, True))


def test_large_games_have_no_tree_here():
    with pytest.raises(UserError, match="connect_four has more than 20,000 positions"):
        game_tree(CONNECT_FOUR)


@pytest.mark.slow
def test_values_of_plain_monte_carlo_approach_the_exact_ones():
    """Of all positions after four moves and more, 1 simulation's error, and 2,000's."""
    tree = game_tree(TIC_TAC_TOE)
    chosen = np.flatnonzero((tree.moves == 5) & ~tree.terminated)[::20]
    states = jax.tree.map(lambda leaf: jnp.asarray(leaf[chosen]), tree.states)
    exact = tree.values[chosen]

    def error(simulations):
        search = jax.jit(MonteCarlo(TIC_TAC_TOE, simulations))
        found = search(states, jax.random.key(0))
        return np.abs(np.asarray(found.summary().value) - exact).mean()

    few, many = error(8), error(2000)
    assert many < 0.1
    assert many < few / 3


def test_random_games_have_their_known_mean():
    """Who begins a random game of tic-tac-toe wins 0.5849 and loses 0.2881 of them."""
    states = jax.vmap(TIC_TAC_TOE.init)(jax.random.split(jax.random.key(1), 4000))
    results = np.asarray(
        jax.jit(lambda key: random_games(TIC_TAC_TOE, states, key))(jax.random.key(0))
    )
    assert set(results) == {-1, 0, 1}
    # 4 standard errors of 4,000 games
    assert (results == 1).mean() == pytest.approx(0.5849, abs=0.032)
    assert (results == -1).mean() == pytest.approx(0.2881, abs=0.029)


def test_a_match_gives_each_side_half_of_the_games():
    def at_random(states, key):
        return random_legal(states.legal_action_mask, key)

    def lowest(states, key):
        del key
        return jnp.argmax(states.legal_action_mask, -1)

    game = CONNECT_FOUR
    # The lowest legal column against itself: 0 to 2 fill up in turn, and who begins wins a row.
    result = jax.jit(lambda key: match(game, lowest, lowest, 4, key))(jax.random.key(0))
    winner = float(result[0])
    assert abs(winner) == 1
    np.testing.assert_array_equal(result, [winner, winner, -winner, -winner])

    result = jax.jit(lambda key: match(TIC_TAC_TOE, at_random, at_random, 2000, key, 1))(
        jax.random.key(0)
    )
    # After one random move it is the second player of the game who moves first.
    begun, answered = np.asarray(result).reshape(2, 1000).mean(1)
    assert begun == pytest.approx(-0.297, abs=0.11)
    assert answered == pytest.approx(0.297, abs=0.11)
    # No opening takes the last move from the players.
    result = jax.jit(lambda key: match(TIC_TAC_TOE, lowest, lowest, 80, key, 9))(jax.random.key(0))
    np.testing.assert_array_equal(result[:40], -result[40:])
    assert (result != 0).any()
    with pytest.raises(UserError, match=r"3 games .* take 4 .*batch_size.* --games"):
        match(game, lowest, lowest, 3, jax.random.key(0))
