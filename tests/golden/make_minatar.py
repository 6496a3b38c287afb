"""Games of Breakout by MinAtar's own code, for tests/environments/test_gymnax.py.

python -m venv /tmp/minatar && /tmp/minatar/bin/pip install MinAtar==1.0.15
/tmp/minatar/bin/python tests/golden/make_minatar.py
"""

from pathlib import Path

import numpy as np
from minatar.environments.breakout import Env

GAMES, LONGEST = 8, 200


def main():
    """Games by a policy that follows the ball, but for an action in thirty."""
    chance = np.random.RandomState(0)
    recorded = {"start": [], "actions": [], "observations": [], "rewards": [], "terminals": []}
    for game in range(GAMES):
        env = Env()
        start = game % 2
        env.ball_x, env.ball_dir = [(0, 2), (9, 3)][start]
        env.last_x = env.ball_x
        actions, observations = np.zeros(LONGEST, np.int8), np.zeros((LONGEST, 10, 10, 4), bool)
        rewards, terminals = np.zeros(LONGEST, np.int8), np.zeros(LONGEST, bool)
        for step in range(LONGEST):
            towards = 1 if env.ball_x < env.pos else 3 if env.ball_x > env.pos else 0
            actions[step] = chance.randint(6) if chance.rand() < 1 / 30 else towards
            rewards[step], terminals[step] = env.act(actions[step])
            observations[step] = env.state()
            if terminals[step]:
                break
        for name, value in zip(
            recorded, (start, actions, observations, rewards, terminals), strict=True
        ):
            recorded[name].append(value)
    arrays = {name: np.asarray(values) for name, values in recorded.items()}
    arrays["observations"] = np.packbits(arrays["observations"])
    np.savez_compressed(Path(__file__).parent / "minatar.npz", **arrays)


if __name__ == "__main__":
    main()
