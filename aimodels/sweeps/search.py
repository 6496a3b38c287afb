"""Searches for the best setting with Optuna: a population of suggestions at a time, as replicas.

Every population is asked for, packed into programs, trained and told before the next one. The
study is kept in the sweep's folder (`optuna.log`), so a search that was stopped goes on.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.errors import UserError, unknown
from aimodels.sweeps.executors import folder_of
from aimodels.sweeps.plan import PlannedProgram, PlannedRun
from aimodels.sweeps.space import Setting, Space, Uniform, When
from aimodels.training.replicas import DONE, Pruner
from aimodels.training.workdir import read_results

PRUNERS = ("none", "asha", "hyperband")


class Study:
    """An Optuna study over a space, kept in a folder.

    Args:
      space: what is searched.
      workdir: of the sweep.
      metric: `split/name`.
      mode: `max` or `min`.
      pruner: one of PRUNERS; decides at each evaluation which settings are worth going on.
      steps: of a run.
    """

    def __init__(
        self, space: Space, workdir: Path, metric: str, mode: str, pruner: str, steps: int
    ) -> None:
        self._optuna = optuna = _library()
        self._space, self.metric = space, metric
        self._pruning = pruner != "none"
        backend = optuna.storages.journal.JournalFileBackend(str(workdir / "optuna.log"))
        pruners = {
            "none": optuna.pruners.NopPruner,
            "asha": optuna.pruners.SuccessiveHalvingPruner,
            "hyperband": functools.partial(optuna.pruners.HyperbandPruner, max_resource=steps),
        }
        self._study = optuna.create_study(
            study_name="sweep",
            storage=optuna.storages.JournalStorage(backend),
            direction="maximize" if mode == "max" else "minimize",
            sampler=optuna.samplers.TPESampler(seed=0, constant_liar=True, multivariate=True),
            pruner=pruners[pruner](),
            load_if_exists=True,
        )

    def ended(self) -> int:
        """How many trials have been told."""
        return sum(trial.state.is_finished() for trial in self._study.trials)

    def population(self, size: int) -> list[PlannedRun]:
        """Suggestions to try now: those that an earlier call left untold, or new ones."""
        running = self._optuna.trial.TrialState.RUNNING
        waiting = self._study.get_trials(deepcopy=False, states=(running,))
        if waiting:
            trials = [self._optuna.trial.Trial(self._study, frozen._trial_id) for frozen in waiting]
        else:
            trials = [self._study.ask() for _ in range(size)]
        return [PlannedRun(self._suggest(trial, self._space), 0, trial.number) for trial in trials]

    def _suggest(self, trial: Any, space: Space) -> Setting:
        setting: Setting = {}
        for field, values in space.items():
            if isinstance(values, Uniform):
                suggest = trial.suggest_int if values.whole else trial.suggest_float
                setting[field] = suggest(field, values.low, values.high, log=values.log)
            elif not isinstance(field, When):  # by their numbers: a value may be a tuple
                setting[field] = values[trial.suggest_categorical(field, range(len(values)))]
        for condition, inner in space.items():
            if isinstance(condition, When) and setting.get(condition.field) == condition.value:
                setting |= self._suggest(trial, inner)
        return setting

    def _trial(self, number: int) -> Any:
        return self._optuna.trial.Trial(self._study, self._study.trials[number]._trial_id)

    def pruner(self, program: PlannedProgram) -> Pruner | None:
        """Tells Optuna how a program's trials stand, and stops those that it gives up."""
        if not self._pruning:
            return None
        trials = {number: self._trial(number) for number in _replicas_of(program)}

        def prune(step: int, metrics: Mapping[str, np.ndarray], active: np.ndarray) -> list[int]:
            if self.metric not in metrics:
                raise UserError(f"--metric: {unknown('metric', self.metric, metrics)}")
            stopped = []
            for number, replicas in _replicas_of(program).items():
                alive = [replica for replica in replicas if active[replica]]
                if not alive:
                    continue
                trials[number].report(float(np.mean(metrics[self.metric][alive])), step)
                if trials[number].should_prune():
                    stopped += alive
            return stopped

        return prune

    def tell(self, programs: Sequence[PlannedProgram], workdir: Path) -> None:
        """Gives Optuna each trial's mean over its seeds, or that it failed or was pruned."""
        states = self._optuna.trial.TrialState
        scores: dict[int, list[float]] = {}
        statuses: dict[int, set[str]] = {}
        for program in programs:
            results = read_results(folder_of(workdir, program)) or {}
            for number, replicas in _replicas_of(program).items():
                for replica in replicas:
                    ended = results.get("replicas", {replica: {"status": "failed"}})[replica]
                    statuses.setdefault(number, set()).add(ended["status"].split()[0])
                    if ended["status"] == DONE:
                        if self.metric not in ended["metrics"]:
                            raise UserError(
                                f"--metric: {unknown('metric', self.metric, ended['metrics'])}"
                            )
                        scores.setdefault(number, []).append(ended["metrics"][self.metric])
        for number, found in statuses.items():
            trial = self._trial(number)
            if found == {DONE}:
                self._study.tell(trial, float(np.mean(scores[number])))
            else:
                self._study.tell(trial, state=states.PRUNED if "pruned" in found else states.FAIL)


def _replicas_of(program: PlannedProgram) -> dict[int, list[int]]:
    """Trial -> its replicas in a program: one for each seed."""
    replicas: dict[int, list[int]] = {}
    for replica, run in enumerate(program.runs):
        assert run.trial is not None
        replicas.setdefault(run.trial, []).append(replica)
    return replicas


def _library() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UserError(
            "--search tpe needs Optuna: pip install 'aimodels[search]', or take --search random"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
