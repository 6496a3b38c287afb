"""Stable-Baselines3's DQN on CartPole, run by agents.py in an interpreter that has it (and no JAX).

The settings are CleanRL's, as in experiments/rl/classic_control.py. Reads a JSON line
{"threads", "seconds"} from standard input, goes on training for about so long, and writes
{"steps", "seconds"}; between two lines it waits and uses no processor. What comes before the first
update, and costs less, is over before the first slice.
"""

import json
import sys
import time

import stable_baselines3
import torch
from stable_baselines3 import DQN

LEARNING_STARTS, CHUNK = 10_000, 1_000


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
        exploration_fraction=0.5,
        exploration_final_eps=0.05,
        policy_kwargs={"net_arch": [120, 84]},
        seed=0,
        device="cpu",
    )
    agent.learn(LEARNING_STARTS + CHUNK)
    return agent


def run(agent: DQN, seconds: float) -> dict[str, float]:
    """Trains in chunks of steps until the time is over."""
    begin, first = time.perf_counter(), agent.num_timesteps
    while (passed := time.perf_counter() - begin) < seconds:
        agent.learn(CHUNK, reset_num_timesteps=False)
    return {"steps": agent.num_timesteps - first, "seconds": passed}


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
