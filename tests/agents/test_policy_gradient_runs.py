"""Whole runs of agents with a policy: they learn, replicas differ, resuming is exact."""

import json
import shutil

import numpy as np
import pytest
from run_checks import assert_same_end

import aimodels
from aimodels.config import load_config, load_experiment
from aimodels.training.writers import read_metrics

EXPERIMENT = "experiments/rl/classic_control.py"
# A few updates of each agent.
SMALL = {
    "environment": {"max_steps": 30},
    "task": {"environments": 4},
    "training": {"steps": 9, "log_every": 1},
    "evaluation": {"batch_size": 4},
    "execution": {"steps_per_dispatch": 4},
    "checkpoint": {"every": 3, "keep": 3},
}
VARIANTS = {
    "ac_breakout": {},
    "reinforce_cartpole": {},
    "a2c_acrobot": {},  # it has statistics to keep
    "a3c_cartpole": {"actor_learners": 2},  # one of them is between its copy and its update
    "ppo_cartpole": {"rollout_steps": 16},
}


def run(variant, workdir, replicas=None):
    file = "experiments/rl/minatar.py" if variant == "ac_breakout" else EXPERIMENT
    config = load_experiment(file).module.get_config(variant).to_dict()
    for section, fields in SMALL.items():
        config[section] = config.get(section, {}) | fields
    config["task"] |= VARIANTS[variant]
    return aimodels.train(config | {"replicas": replicas or {}}, workdir, verbose=False)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_was_cut_goes_on_to_the_same_bits(variant, tmp_path):
    """As a killed run leaves its folder: the newest checkpoint is older than the last lines."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(variant, whole)
    shutil.copytree(whole, cut)
    for step in (6, 9):
        shutil.rmtree(cut / "checkpoints" / str(step))
    (cut / "results.json").unlink()
    result = run(variant, cut)
    assert result.results["steps"] == 9
    assert_same_end(whole, cut)


@pytest.mark.parametrize("variant", VARIANTS)
def test_replicas_have_curves_of_their_own(variant, tmp_path):
    """Seeds 0 and 1, and seed 0 with another discount: its first episodes are the same."""
    vary = {"task.discount": (0.99, 0.99, 0.5)}
    run(variant, tmp_path, {"seeds": (0, 1, 0), "vary": vary, "mode": "vmap"})
    lines = [line for line in read_metrics(tmp_path / "metrics.jsonl") if line["split"] == "train"]

    def curves(name):
        found = [[line[name] for line in lines if line["replica"] == r] for r in range(3)]
        return np.asarray(found)

    loss = "value_error" if variant == "ac_breakout" else "policy_loss"
    losses, returns = curves(loss), curves("training_return")
    assert losses.shape == (3, 9)
    assert np.isfinite(losses).all()
    assert (losses[0] != losses[1]).all()
    assert (losses[0] != losses[2]).any()
    assert returns[0, 0] == returns[2, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "score"),
    [("ppo_cartpole", 475), ("a2c_cartpole", 475), ("a3c_cartpole", 475), ("a2c_acrobot", -100)],
)
def test_solves_classic_control(variant, score, tmp_path):
    """CartPole-v1 is solved by a mean of 475 over 100 episodes, Acrobot by -100 (Gymnasium)."""
    result = aimodels.train(load_config(f"{EXPERIMENT}:{variant}"), tmp_path, verbose=False)
    metrics = result.results["replicas"][0]["metrics"]
    assert metrics["test/return"] >= score
    assert json.loads((tmp_path / "results.json").read_text())["replicas"]
