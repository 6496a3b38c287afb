"""Stable-Baselines3's DQN on CartPole, run by agents.py in an interpreter that has it (and no JAX).

The settings are CleanRL's, as in experiments/rl/classic_control.py. Reads a JSON line
{"threads", "seconds"} from standard input, goes on training for about so long, and writes
{"steps", "seconds"}; between two lines it waits and uses no processor. What comes before the first
update, and costs less, is over before the first slice. A random action costs less than one of the
network: every slice has as many of them as the whole run of 500,000 steps on average.
"""

import json
import sys
import time

import stable_baselines3
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

LEARNING_STARTS = 10_000
# ε falls from 1 to 0.05 in the first half of the run: its mean over all of it.
EPSILON = ((1 + 0.05) / 2 + 0.05) / 2


class Until(BaseCallback):
    """Ends training at a time of `time.perf_counter`."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self.end = end

    def _on_step(self) -> bool:
        return time.perf_counter() < self.end


def make_agent() -> DQN:
    """Which has made its first updates."""
    agent = DQN(
        "MlpPolicy",
        "CartPole-v1",
        learning_rate=2.5e-4,
        buffer_size=10_000,
        learning_starts=LEARNING_STARTS,
        batch_size=128,
        gamma=0.99,
        train_freq=10,
        gradient_steps=1,
        target_update_interval=500,
        exploration_initial_eps=EPSILON,
        exploration_final_eps=EPSILON,
        policy_kwargs={"net_arch": [120, 84]},
        seed=0,
        device="cpu",
    )
    agent.learn(LEARNING_STARTS + 500)
    return agent


def run(agent: DQN, seconds: float) -> dict[str, float]:
    """Goes on training until the time is over."""
    begin, first = time.perf_counter(), agent.num_timesteps
    agent.learn(10**9, callback=Until(begin + seconds), reset_num_timesteps=False)
    return {"steps": agent.num_timesteps - first, "seconds": time.perf_counter() - begin}


def main() -> None:
    versions = {"stable_baselines3": stable_baselines3.__version__, "torch": torch.__version__}
    agent = make_agent()
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        print(json.dumps(run(agent, request["seconds"])), flush=True)


if __name__ == "__main__":
    main()
