"""Statistics of rliable, the package of Agarwal et al. 2021, as references for ours.

In an environment of its own: `pip install rliable==1.2.0 "pandas<3"`, then
`python tests/golden/make_rliable.py`.
"""

from pathlib import Path

import numpy as np
from rliable import library, metrics

REPETITIONS = 20_000


def main() -> None:
    """Writes the cases beside this file."""
    generator = np.random.default_rng(0)
    stored = {}
    for case, runs, tasks in (("one_task", 5, 1), ("few_seeds", 3, 4), ("many", 10, 7)):
        # Rounded to tenths, so that ties occur; tasks of different spread.
        draw = generator.normal(0.5, 0.1 + 0.2 * np.arange(tasks), (2, runs, tasks)).round(1)
        x, y = draw[0], draw[1, : max(2, runs - 1)]
        thresholds = np.linspace(-1, 2, 13)

        def aggregates(scores: np.ndarray) -> np.ndarray:
            return np.array(
                [
                    metrics.aggregate_iqm(scores),
                    metrics.aggregate_mean(scores),
                    metrics.aggregate_median(scores),
                    metrics.aggregate_optimality_gap(scores),
                ]
            )

        values, intervals = library.get_interval_estimates(
            {"x": x}, aggregates, reps=REPETITIONS, random_state=np.random.RandomState(0)
        )
        better, better_interval = library.get_interval_estimates(
            {"x": (x, y)},
            metrics.probability_of_improvement,
            reps=REPETITIONS // 10,
            random_state=np.random.RandomState(0),
        )
        profile, band = library.create_performance_profile(
            {"x": x}, thresholds, reps=REPETITIONS // 4
        )
        stored |= {
            f"{case}/x": x,
            f"{case}/y": y,
            f"{case}/thresholds": thresholds,
            f"{case}/aggregates": values["x"],
            f"{case}/aggregates_interval": intervals["x"],
            f"{case}/improvement": np.array(better["x"]),
            f"{case}/improvement_interval": np.ravel(better_interval["x"]),
            f"{case}/profile": profile["x"],
            f"{case}/profile_band": band["x"],
        }
    np.savez_compressed(Path(__file__).with_name("rliable.npz"), **stored)


if __name__ == "__main__":
    main()
