"""Tabular control: Sutton & Barto 2018, example 6.6, and what dynamic programming finds exactly.

aimodels reproduce experiments/rl/tabular.py                                                # 2 min
aimodels train --config=experiments/rl/tabular.py:q_learning_cliff --workdir=runs/cliff     # -13
aimodels train --config=experiments/rl/tabular.py:q_learning_lake --workdir=runs/lake       # 0.74

Q-learning, SARSA and Expected SARSA on the cliff of the book (ε = 0.1, α = 0.5, about 500
episodes), on the slippery FrozenLake, 4x4 and 8x8, and on Taxi. Nothing here is a paper's mean over
a few runs: what each rule converges to is known exactly by dynamic programming on the tables from
which gymnasium draws (`aimodels.agents.dynamic_programming`). `test/return` is that of the greedy
policy within the environment's time limit, `test/training_return` that of the last 100 episodes of
training, with their random actions. Q-learning walks along the cliff, which is best for who never
slips, and falls off it while it still explores; the two on-policy rules keep away from it. Of all
policies with ε = 0.1 the best is one row away (15 steps); the book's drawing has SARSA in the top
row (17 steps).
"""

from ml_collections import ConfigDict

from aimodels.reproduce import Row

RULES = {"q_learning": "Q-learning", "sarsa": "SARSA", "expected_sarsa": "Expected SARSA"}
ENVIRONMENTS = {
    "cliff": "CliffWalking-v1",
    "lake": "FrozenLake-v1",
    "lake8x8": "FrozenLake8x8-v1",
    "taxi": "Taxi-v4",
}
VARIANTS = tuple(f"{rule}_{name}" for name in ENVIRONMENTS for rule in RULES)

CLIFF = {"discount": 1.0, "epsilon": (0.1, 0.1)}
DECAYING = {"discount": 0.99, "epsilon": (1.0, 0.1), "exploration_fraction": 0.5}
# Task, learning rate and its schedule, training steps, each of 100 steps of the environment.
SETTINGS: dict[str, tuple[dict, float, str, int]] = {
    "cliff": (CLIFF, 0.5, "constant", 100),
    "lake": (DECAYING, 0.1, "linear", 3000),
    "lake8x8": (DECAYING, 0.2, "linear", 10_000),
    # At a rate that stays 0.5 SARSA's values keep jumping: its greedy policy gets -50.
    "taxi": (DECAYING, 0.5, "linear", 5000),
}


def get_config(variant: str = "q_learning_cliff") -> ConfigDict:
    """A rule in an environment: `q_learning_cliff`, `sarsa_lake8x8`, ..."""
    rule, _, name = variant.rpartition("_")
    task, learning_rate, schedule, steps = SETTINGS[name]
    return ConfigDict(
        {
            "environment": {"name": "toy_text", "id": ENVIRONMENTS[name]},
            "task": {"name": "tabular", "rule": rule, "environment_steps": 100, **task},
            "optimizer": {"name": "sgd", "learning_rate": learning_rate, "schedule": schedule},
            "training": {"steps": steps, "log_every": steps // 50},
            # The cliff has no chance in it: one episode of the greedy policy is all of them.
            "evaluation": {"batch_size": 100 if name == "cliff" else 5000},
            "replicas": {"mode": "vmap"},
        }
    )


def published() -> list[Row]:
    """What each rule converges to, by dynamic programming; tests/ computes all of it anew."""
    exact = "exact, by dynamic programming on the table of gymnasium 1.3"
    book = "Sutton & Barto 2018, figure of example 6.6"
    rows = []

    def add(rule: str, name: str, label: str, metric: str, figure: float | None, **fields) -> None:  # noqa: ANN003
        fields = {
            "source": exact,
            "seconds": {"lake": 2, "lake8x8": 3, "taxi": 3}.get(name, 1.5),
        } | fields
        rows.append(
            Row(
                name=f"{RULES[rule]}, {label}",
                variant=f"{rule}_{name}",
                metric=metric,
                published=figure,
                **fields,
            )
        )

    # Online, Q-learning plays the best path with ε = 0.1; Expected SARSA, whose error has no noise
    # here, the best of all policies with ε = 0.1. At α = 0.5 SARSA goes on fluctuating.
    read = f"{book}, read from the drawing"
    online = (
        ("q_learning", -50.80, {"alternatives": ((-50, read),)}),
        ("expected_sarsa", -20.71, {}),
        ("sarsa", None, {"source": book, "alternatives": ((-25, read),)}),
    )
    for rule, figure, fields in online:
        add(rule, "cliff", "cliff, online", "test/training_return", figure, decimals=2, **fields)
    drawn = {"source": f"{book}: the safe path of 17 steps"}
    greedy = (("q_learning", -13, {}), ("expected_sarsa", -15, {}), ("sarsa", -17, drawn))
    for rule, figure, fields in greedy:
        add(rule, "cliff", "cliff, greedy", "test/return", figure, **fields)

    lakes = (
        ("lake", "FrozenLake 4x4", (74.02, 72.98), (74.4190, "optimum within 100 steps")),
        ("lake8x8", "FrozenLake 8x8", (86.30, 88.05), (91.3220, "optimum within 200 steps")),
    )
    for name, label, (off_policy, on_policy), (optimum, what) in lakes:
        for rule in RULES:
            add(
                rule,
                name,
                label,
                "test/return",
                off_policy if rule == "q_learning" else on_policy,
                units="%",
                scale=100,
                decimals=2,
                alternatives=((optimum, f"{what}, of policies that see the time; {exact}"),),
            )
    for rule in RULES:
        add(rule, "taxi", "Taxi", "test/return", 7.93)
    return rows


def sweep() -> dict[str, tuple]:
    """The rates that van Seijen et al. 2009 compare on the cliff: one program trains all of it."""
    return {"optimizer.learning_rate": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)}
